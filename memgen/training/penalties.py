"""How a method's penalties enter the advantages of GRPO."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence


def advantage_changes(groups: Sequence[str], penalties: Sequence[float]) -> list[float]:
    """Returns what is added to each trajectory's advantage: the mean penalty of its group minus its own penalty.

    It is added after verl has divided the advantages by the standard deviation of the group's rewards. So a penalty
    keeps its size. If it were taken from the rewards, then in a group of equal rewards the division would make any
    penalty as strong as a right answer, and questions that nobody can answer would decide about the trigger.

    Args:
        groups: for each trajectory, an identifier of its question.
        penalties: penalty of each trajectory.
    """
    members: dict[str, list[float]] = defaultdict(list)
    for group, penalty in zip(groups, penalties, strict=True):
        members[group].append(penalty)
    means = {group: sum(found) / len(found) for group, found in members.items()}
    return [means[group] - penalty for group, penalty in zip(groups, penalties, strict=True)]
