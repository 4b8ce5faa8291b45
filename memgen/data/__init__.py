"""Reads examples from local files as chat messages, and converts them to the files of the trainers."""
