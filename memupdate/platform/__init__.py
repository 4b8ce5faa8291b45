"""The verl plug-in that both packages train on: CPU platform, rollout servers, trainer, launcher, doctor."""
