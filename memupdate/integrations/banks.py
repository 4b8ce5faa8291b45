"""Broker calls that the integrations share."""

from __future__ import annotations

from collections.abc import Sequence

from memupdate.broker import BankService, RefusedError
from memupdate.broker.results import Opened, Outcome
from memupdate.integrations.background import wait_for
from memupdate.memory import Operation


async def run_all(banks: BankService, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
    """Applies operations, all of which must succeed, and returns their outcomes.

    Raises:
        UnknownNamespaceError: the bank is not open.
        RefusedError: the bank refused an operation. The error describes the first refused one. The others were applied
            nevertheless.
    """
    outcomes = await banks.run(namespace, operations)
    for operation, outcome in zip(operations, outcomes, strict=True):
        if outcome.error:
            raise RefusedError(namespace, operation.kind, outcome.error)
    return outcomes


def open_bank(banks: BankService, namespace: str, sample_id: str = "") -> Opened:
    """Opens a bank from synchronous code; see ``BankService.open``.

    It runs on the background event loop of the integrations. An in-process broker belongs to one event loop. So if a
    store or tools use a broker, call the broker only through them and through this function.
    """
    return wait_for(banks.open(namespace, sample_id))
