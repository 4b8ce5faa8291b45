"""Examples: local files to chat messages, and messages to what the trainers read."""
