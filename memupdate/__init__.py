"""memupdate: explicit memory for language models, trained by reinforcement learning on stock verl."""

__version__ = "0.1.0"
