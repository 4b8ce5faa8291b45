"""Rollout servers for CPU: SGLang, and a small torch server that honours per-request seeds."""
