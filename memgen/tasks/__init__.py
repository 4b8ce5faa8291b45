"""Tasks: what an answer is worth. Rewards of single-turn tasks are plain functions of two texts."""

from memgen.tasks.rewards import REWARDS, Reward

__all__ = ["REWARDS", "Reward"]
