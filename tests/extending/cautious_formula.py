"""A reward formula: what a bank loses counts twice."""

from __future__ import annotations

from memupdate.rewards.formulas import Formula


def cautious(delta: float, efficiency: float) -> float:
    """Returns the reward for a difference in answers (``delta``) and an efficiency between 0.1 and 1.5."""
    return delta * efficiency if delta >= 0 else 2 * delta


CAUTIOUS = Formula(cautious)
