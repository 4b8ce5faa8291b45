"""The trigger's penalty for inserting more often than good answers do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def invocation_rate(blocks: int, asked: int) -> float:
    """Returns the number of inserted blocks per time the trigger was asked; 0 if it was never asked."""
    return blocks / asked if asked else 0.0


def invocation_penalties(
    groups: Sequence[str], rewards: Sequence[float], rates: Sequence[float], weight: float
) -> list[float]:
    """Returns the penalty λ·max(0, d − p̄) of each trajectory, which the trigger's objective takes from its advantage.

    d is the trajectory's invocation rate. p̄ is the mean invocation rate of the high-reward trajectories in its group.
    A trajectory has a high reward if its reward is at least the mean of the group.

    Args:
        groups: for each trajectory, an identifier of its prompt. Trajectories of one prompt form a group.
        rewards: reward of each trajectory.
        rates: invocation rate of each trajectory.
        weight: λ.

    Returns:
        Penalties of at least 0, in the order of the trajectories.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    penalties = [0.0] * len(groups)
    for indices in members.values():
        mean = sum(rewards[index] for index in indices) / len(indices)
        # Rounding can put the mean of equal rewards above them. The minimum keeps at least the best trajectory.
        threshold = min(mean, max(rewards[index] for index in indices))
        high = [rates[index] for index in indices if rewards[index] >= threshold]
        allowed = sum(high) / len(high)
        for index in indices:
            penalties[index] = weight * max(0.0, rates[index] - allowed)
    return penalties
