"""One failed trajectory must not cost the batch: its error becomes a fixed reward, is logged, and is counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields

from memupdate.rewards.budgeted import BudgetedParts
from memupdate.rewards.reward import RewardParts

Parts = RewardParts | BudgetedParts

logger = logging.getLogger(__name__)

ERROR_REWARD = -0.1


@dataclass(frozen=True, slots=True)
class RewardOutcome:
    """The reward of one item, or the error that kept it from being computed.

    Attributes:
        parts: the reward's parts; None after an error.
        kind: the class that the parts have, or would have.
        error: ``Type: message`` of the error; empty without one.
    """

    parts: Parts | None
    error: str = ""
    kind: type[Parts] = RewardParts

    @property
    def reward(self) -> float:
        """The item's reward; ``ERROR_REWARD`` after an error."""
        return ERROR_REWARD if self.parts is None else self.parts.reward

    def to_dict(self) -> dict[str, float]:
        """Returns the parts by name, and ``reward_error``, which is 0 or 1.

        Every item has the same keys, so that items stack to columns. After an error all parts but ``reward`` are 0,
        because they were not measured. Leave out the items with ``reward_error`` 1 before you average.
        """
        if self.parts is None:
            values = dict.fromkeys((part.name for part in fields(self.kind)), 0.0)
        else:
            values = self.parts.to_dict()
        return {**values, "reward": self.reward, "reward_error": float(self.parts is None)}


class RewardGuard:
    """Computes rewards item by item. An item whose computation raises an error gets ``ERROR_REWARD``.

    Args:
        kind: the class of the parts that are computed. After an error, the item has the same names.

    Attributes:
        errors: how many errors of each type there were since the guard was made.
    """

    def __init__(self, kind: type[Parts] = RewardParts) -> None:
        self._kind = kind
        self.errors: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Number of items that failed since the guard was made."""
        return self.errors.total()

    def run(self, item: str, compute: Callable[[], Parts]) -> RewardOutcome:
        """Computes the reward of one item.

        Args:
            item: names the item in the log, such as its namespace.
            compute: returns the reward's parts.
        """
        try:
            return RewardOutcome(compute(), kind=self._kind)
        except Exception as error:
            logger.exception("the reward of %s failed and is %s", item, ERROR_REWARD)
            return self._failed(error)

    async def run_async(self, item: str, compute: Callable[[], Awaitable[Parts]]) -> RewardOutcome:
        """Does the same as ``run`` for a computation that awaits. Cancellation is not an error and is raised."""
        try:
            return RewardOutcome(await compute(), kind=self._kind)
        except Exception as error:
            logger.exception("the reward of %s failed and is %s", item, ERROR_REWARD)
            return self._failed(error)

    def _failed(self, error: Exception) -> RewardOutcome:
        kind = type(error).__name__
        self.errors[kind] += 1
        return RewardOutcome(None, f"{kind}: {error}", self._kind)
