"""The verl plug-in that every job trains on: CPU platform, rollout servers, trainer, checkpoints, launcher, config."""
