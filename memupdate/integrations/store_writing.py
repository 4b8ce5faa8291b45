"""Writes the items of several namespaces together: all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from memupdate.broker import BankService, RefusedError, UnknownNamespaceError
from memupdate.errors import FieldError
from memupdate.integrations.store_bank import Prepared, StoreBank, Written
from memupdate.memory import Operation


async def write_together(banks: BankService, writes: Mapping[StoreBank, Sequence[Written]]) -> None:
    """Puts and deletes items in several namespaces. Opens the banks if needed.

    The items of all namespaces are written in one call. The texts in the side banks are written before it and removed
    after it: they have no effect without their items.

    Args:
        banks: the broker.
        writes: the writes to each namespace, as ``StoreBank.prepare`` takes them.

    Raises:
        RefusedError: a bank refused an operation. No item was written.
        FieldError: the namespaces are on several shards of the broker. No item was written.
    """
    prepared: dict[StoreBank, Prepared] = {}
    async with AsyncExitStack() as held:
        for bank in sorted(writes, key=lambda bank: bank.namespace):  # the same order everywhere avoids deadlocks
            await held.enter_async_context(bank.writing)
        try:
            for bank, of_bank in writes.items():
                prepared[bank] = await bank.prepare(of_bank)
            await _run_together(banks, {one.bank: one.edits for one in prepared.values() if one.edits})
        except (RefusedError, FieldError):  # after any other error, the items may have been written
            for bank, one in prepared.items():
                await bank.abandon(one)
            raise
        for bank, one in prepared.items():
            await bank.finish(one)


async def _run_together(banks: BankService, turns: Mapping[str, Sequence[Operation]]) -> None:
    left = dict(turns)
    while left:
        try:
            await banks.run_together(left)
        except UnknownNamespaceError as error:
            if any(edit.kind != "delete" for edit in left[error.namespace]):
                await banks.open(error.namespace)
            else:
                del left[error.namespace]  # the bank was closed meanwhile, and the items with it
        else:
            return
