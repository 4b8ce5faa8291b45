"""The trigger's penalty for insertions that good answers did without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def invocation_rate(blocks: int, asked: int) -> float:
    """Returns blocks inserted, of the times that the trigger was asked; 0 where it never was."""
    return blocks / asked if asked else 0.0


def invocation_penalties(
    groups: Sequence[str], rewards: Sequence[float], rates: Sequence[float], weight: float
) -> list[float]:
    """Returns λ·max(0, d − p̄) for each trajectory: what the trigger's objective takes off its reward.

    d is the trajectory's invocation rate and p̄ the mean rate of its group's high-reward trajectories: those whose
    reward is at least the group's mean.

    Args:
        groups: each trajectory's prompt.
        rewards: their rewards.
        rates: their invocation rates.
        weight: λ.

    Returns:
        Penalties of at least 0, in the trajectories' order.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    penalties = [0.0] * len(groups)
    for indices in members.values():
        mean = sum(rewards[index] for index in indices) / len(indices)
        # the best is in it even where rounding puts the mean of equal rewards above them
        threshold = min(mean, max(rewards[index] for index in indices))
        high = [rates[index] for index in indices if rewards[index] >= threshold]
        allowed = sum(high) / len(high)
        for index in indices:
            penalties[index] = weight * max(0.0, rates[index] - allowed)
    return penalties
