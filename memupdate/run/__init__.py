"""The explicit-memory job on the platform: pipeline, trainer, traces, checks of its config, doctor."""
