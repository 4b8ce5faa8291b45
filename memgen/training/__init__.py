"""Training of latent models on the platform: verl engines, supervised training and GRPO."""
