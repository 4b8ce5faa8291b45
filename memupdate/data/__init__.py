"""Conversations with questions: loading, initial memories, and rows that verl trains on."""
