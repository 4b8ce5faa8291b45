"""What plugs the latent model into the platform: engine keys, supervised training, GRPO of weaver and trigger."""
