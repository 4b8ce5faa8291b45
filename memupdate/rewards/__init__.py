"""Rewards: what an edit of a bank was worth. Plain Python; ``MemoryRewardManager`` alone needs verl, loaded on use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memupdate.extras import missing_extras_named
from memupdate.rewards.formula import (
    BankState,
    RewardConfig,
    RewardParts,
    change_factor,
    density_factor,
    memory_reward,
    reward_from_states,
    size_factor,
)
from memupdate.rewards.outcomes import ERROR_REWARD, RewardGuard, RewardOutcome
from memupdate.rewards.scorers import BatchScorer, ScoreItem, Scorer, ScorerConfig, make_scorer

if TYPE_CHECKING:
    from memupdate.rewards.manager import MemoryRewardManager

__all__ = [
    "ERROR_REWARD",
    "BankState",
    "BatchScorer",
    "MemoryRewardManager",
    "RewardConfig",
    "RewardGuard",
    "RewardOutcome",
    "RewardParts",
    "ScoreItem",
    "Scorer",
    "ScorerConfig",
    "change_factor",
    "density_factor",
    "make_scorer",
    "memory_reward",
    "reward_from_states",
    "size_factor",
]


def __getattr__(name: str) -> object:
    if name == "MemoryRewardManager":
        with missing_extras_named():
            from memupdate.rewards.manager import MemoryRewardManager

        return MemoryRewardManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
