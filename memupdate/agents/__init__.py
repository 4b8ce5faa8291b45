"""The agent loop: one trajectory, one namespace. ``loop`` and ``parser`` need verl; ``token_limit`` does not."""
