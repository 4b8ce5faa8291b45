"""Rewards: what an edit of a bank is worth.

Everything here is plain Python. Only ``MemoryRewardManager`` needs verl, and it is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memupdate.rewards.bank_state import BankState
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import BatchScorer, ScoreItem, Scorer
from memupdate.rewards.efficiency import change_factor, density_factor, size_factor
from memupdate.rewards.formulas import FORMULAS, Formula
from memupdate.rewards.outcomes import ERROR_REWARD, RewardGuard, RewardOutcome
from memupdate.rewards.reward import RewardParts, memory_reward, reward_from_states
from memupdate.rewards.scorers import SCORERS, ScorerConfig, make_scorer

if TYPE_CHECKING:
    from memupdate.rewards.manager import MemoryRewardManager

__all__ = [
    "ERROR_REWARD",
    "FORMULAS",
    "SCORERS",
    "BankState",
    "BatchScorer",
    "Formula",
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
        from memupdate.rewards.manager import MemoryRewardManager

        return MemoryRewardManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
