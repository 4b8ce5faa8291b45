"""One failed item costs that item, never the batch: an error becomes a fixed reward, is logged, and is counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields

from memupdate.rewards.formula import RewardParts

logger = logging.getLogger(__name__)

ERROR_REWARD = -0.1


@dataclass(frozen=True, slots=True)
class RewardOutcome:
    """What one item got: its parts, or the error that stood in their way.

    Attributes:
        parts: the reward's parts; None after an error.
        error: ``Type: message`` of the error; empty without one.
    """

    parts: RewardParts | None
    error: str = ""

    @property
    def reward(self) -> float:
        """The item's reward; ``ERROR_REWARD`` after an error."""
        return ERROR_REWARD if self.parts is None else self.parts.reward

    def to_dict(self) -> dict[str, float]:
        """The parts by name, and ``reward_error`` 0 or 1: the same keys for every item, so that they stack to columns.

        After an error the parts other than ``reward`` were not measured and are 0, which lies below the range of every
        one of them but delta; filter by ``reward_error`` before averaging.
        """
        if self.parts is None:
            values = dict.fromkeys((part.name for part in fields(RewardParts)), 0.0)
        else:
            values = self.parts.to_dict()
        return {**values, "reward": self.reward, "reward_error": float(self.parts is None)}


class RewardGuard:
    """Computes rewards item by item; an item whose computation raises gets ``ERROR_REWARD``.

    Attributes:
        errors: how often each type of error came since the guard was made.
    """

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Items that failed since the guard was made."""
        return self.errors.total()

    def run(self, item: str, compute: Callable[[], RewardParts]) -> RewardOutcome:
        """Compute one item's reward; ``item`` (its namespace) names it in the log."""
        try:
            return RewardOutcome(compute())
        except Exception as error:
            logger.exception("the reward of %s failed and is %s", item, ERROR_REWARD)
            return self._failed(error)

    async def run_async(self, item: str, compute: Callable[[], Awaitable[RewardParts]]) -> RewardOutcome:
        """As ``run``, for a computation that awaits the broker. Cancellation is not an error and passes through."""
        try:
            return RewardOutcome(await compute())
        except Exception as error:
            logger.exception("the reward of %s failed and is %s", item, ERROR_REWARD)
            return self._failed(error)

    def _failed(self, error: Exception) -> RewardOutcome:
        kind = type(error).__name__
        self.errors[kind] += 1
        return RewardOutcome(None, f"{kind}: {error}")
