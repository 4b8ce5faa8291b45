"""A reward formula: what a bank loses counts twice."""

from __future__ import annotations

from memupdate.rewards.formulas import Formula


def cautious(delta: float, efficiency: float) -> float:
    """Returns the reward for a delta from -0.9 to 0.9 and an efficiency from 0.1 to 1.5."""
    return delta * efficiency if delta >= 0 else 2 * delta


CAUTIOUS = Formula(cautious)
