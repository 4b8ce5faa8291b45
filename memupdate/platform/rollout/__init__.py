"""Rollout servers for a CPU: SGLang, and a small torch server that gives every request its own seed."""
