"""Programs that edit a bank without learning: what a reward pays them tells what it is worth to learn it."""
