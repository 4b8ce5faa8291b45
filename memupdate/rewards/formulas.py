"""The table of reward formulas.

``budgeted`` (default) is computed from readings of the bank (:mod:`memupdate.rewards.budgeted`). The others join the
gain in answers, ``delta`` = QA(after) - QA(before), and the bank's efficiency:

- ``product``: ``delta * efficiency``. After a loss (delta below 0) an inefficient bank is punished less than an
  efficient one.
- ``monotone``: the same for ``delta >= 0``, and ``delta * (2 - efficiency)`` for ``delta < 0``. With delta
  fixed, a more efficient bank never scores lower. The two formulas agree at efficiency 1. ``2 - efficiency`` stays in
  [0.5, 1.9], so a loss never becomes a gain.

To add a formula, write a :class:`Formula` and add one line to ``FORMULAS``, or an entry point of the group
``memupdate.formulas`` in another package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from memupdate.tables import Table


@dataclass(frozen=True, slots=True)
class Formula:
    """One reward formula.

    Attributes:
        combine: takes delta and efficiency, returns the reward.
        cap_mode: the ``cap_mode`` of a config that names this formula and no ``cap_mode``.
    """

    combine: Callable[[float, float], float]
    cap_mode: str = "relative"


def product(delta: float, efficiency: float) -> float:
    """Returns ``delta * efficiency``."""
    return delta * efficiency


def monotone(delta: float, efficiency: float) -> float:
    """Returns ``delta * efficiency`` for a gain and ``delta * (2 - efficiency)`` for a loss."""
    return delta * (2.0 - efficiency) if delta < 0 else delta * efficiency


@dataclass(frozen=True, slots=True)
class Budgeted:
    """Marks the formula of :mod:`memupdate.rewards.budgeted`, which is computed from readings of the bank."""

    cap_mode: str = "relative"


BUDGETED = Budgeted()
MONOTONE = Formula(monotone)
PRODUCT = Formula(product, cap_mode="absolute")

FORMULAS: Table[Formula | Budgeted] = Table(
    "memupdate.formulas",
    "reward.formula",
    {
        "budgeted": "memupdate.rewards.formulas:BUDGETED",
        "monotone": "memupdate.rewards.formulas:MONOTONE",
        "product": "memupdate.rewards.formulas:PRODUCT",
    },
)
