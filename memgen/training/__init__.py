"""What trains MemGen on verl, through ``memupdate.platform``."""
