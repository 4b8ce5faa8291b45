"""Turns that are sent again, because the answer was lost when a shard died.

A repeated mutation returns its first result, but that is not enough for a turn of several operations. Its reads would
see its own later writes and those of others, and an operation that was refused could now succeed. So the turn is
answered from the bank as it was before the turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from memupdate.broker.results import Outcome
from memupdate.memory import MemoryBank, Operation


def was_sent(bank: MemoryBank, operations: Sequence[Operation]) -> bool:
    """Returns whether these are several operations, and the bank has applied one of them before."""
    return len(operations) > 1 and any(one.is_mutation and bank.has_applied(one.key) for one in operations)


def bank_before(bank: MemoryBank, operations: Sequence[Operation]) -> MemoryBank:
    """Returns the bank as it was before a turn that ``was_sent``."""
    keys = {one.key for one in operations if one.is_mutation and bank.has_applied(one.key)}
    journal = bank.journal
    place = next(place for place, one in enumerate(journal) if one.key in keys)
    return MemoryBank.replay(bank.initial, journal[:place])


def is_whole(bank: MemoryBank, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> bool:
    """Returns whether this very turn was sent before, and not only some of its operations or others with their keys.

    Args:
        bank: the present bank.
        operations: the turn.
        outcomes: the outcomes of the turn on ``bank_before``.
    """
    applied = [one for one, outcome in zip(operations, outcomes, strict=True) if one.is_mutation and not outcome.error]
    first = {one.key: one for one in bank.journal}
    return all(bank.has_applied(one.key) and first[one.key] == one for one in applied)
