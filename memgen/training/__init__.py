"""What plugs the latent model into the platform: engine keys and supervised training."""
