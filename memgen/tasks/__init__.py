"""Tasks and their rewards. The reward of a single-turn task is a plain function of two texts."""

from memgen.tasks.rewards import REWARDS, Reward

__all__ = ["REWARDS", "Reward"]
