"""How efficiently a bank uses its memories: ``efficiency = size * density * change``, clamped to [0.1, 1.5].

An empty starting bank (N_before = 0) gives nothing to compare with. Its density factor is 1. Its size factor is 1 under
a relative cap, because the cap does not bind. Its change factor is 1 if the bank stayed empty and 0.8, the floor, if it
grew. To limit the growth of banks that start empty, use ``cap_mode: absolute``.
"""

from __future__ import annotations

from dataclasses import dataclass

from memupdate.rewards.bank_state import BankState

SIZE_FLOOR = 0.1
DENSITY_CEILING = 1.2
CHANGE_FLOOR = 0.8
EFFICIENCY_RANGE = (0.1, 1.5)


@dataclass(frozen=True, slots=True)
class Efficiency:
    """The efficiency of an edited bank, and the factors it is the product of.

    Attributes:
        size: see ``size_factor``.
        density: see ``density_factor``.
        change: see ``change_factor``.
    """

    size: float
    density: float
    change: float

    @classmethod
    def of(cls, before: BankState, after: BankState, cap: float) -> Efficiency:
        """Measures the edit of ``before`` into ``after``; ``cap`` is the number of memories that is not too many."""
        return cls(
            size_factor(after.count, cap), density_factor(before, after), change_factor(before.count, after.count)
        )

    @property
    def value(self) -> float:
        """The product of the factors, clamped to ``EFFICIENCY_RANGE``."""
        low, high = EFFICIENCY_RANGE
        return min(high, max(low, self.size * self.density * self.change))


def size_factor(count: int, cap: float) -> float:
    """Returns 1 up to ``cap`` memories. Above it the factor falls by 1/cap per memory, down to the floor 0.1."""
    if count <= cap:
        return 1.0
    return max(SIZE_FLOOR, 1.0 - (count - cap) / cap)


def density_factor(before: BankState, after: BankState) -> float:
    """Returns mean characters per memory after the edits over before them, at most 1.2; 1 if the bank was empty."""
    if before.count == 0 or before.mean_characters == 0:
        return 1.0
    return min(DENSITY_CEILING, after.mean_characters / before.mean_characters)


def change_factor(count_before: int, count_after: int) -> float:
    """Returns ``1 - 0.5 * |N_after - N_before| / N_before``, at least 0.8.

    From an empty bank it returns 0.8 if the bank grew and 1 if it stayed empty.
    """
    if count_before == 0:
        return 1.0 if count_after == 0 else CHANGE_FLOOR
    return max(CHANGE_FLOOR, 1.0 - 0.5 * abs(count_after - count_before) / count_before)
