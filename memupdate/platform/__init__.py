"""The verl plug-in that all jobs use: CPU platform, rollout servers, trainer, checkpoints, launcher, config."""
