"""The explicit-memory job: pipeline, trainer, traces, config checks, doctor."""
