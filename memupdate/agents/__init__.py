"""The agent loop: one trajectory, one namespace. ``loop`` needs verl; the other modules do not, except ``parser``."""
