"""Chained evaluation: a policy reads all sessions of a conversation on a bank of its own, and is asked at the end."""
