"""The agent loop, with one namespace per trajectory. ``loop`` and ``parser`` need verl; ``token_limit`` does not."""
