"""Datasets: from files of conversations and questions to initial memories and rows that verl trains on."""
