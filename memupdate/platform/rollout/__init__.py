"""Rollout servers for a CPU: SGLang, and a small torch server that samples each request with its own seed."""
