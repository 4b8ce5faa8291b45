"""Restores the banks of a journal. A restored bank has the same digest as before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memupdate.broker.conversations import Conversations
from memupdate.broker.history import kind_of, operations_of, parts, still_needed
from memupdate.broker.journal import Record
from memupdate.broker.registry import BankRegistry, OpenBank
from memupdate.errors import DataError, MemupdateError
from memupdate.memory import MemoryBank, Operation
from memupdate.memory.operation import without_keys


def recover(records: Iterable[Record], registry: BankRegistry, conversations: Conversations) -> None:
    """Replays a journal into an empty registry. Texts are embedded later, when a bank is searched.

    Args:
        records: all records of the journal, in order.
        registry: the registry that receives the banks that are open at the end of the journal.
        conversations: the conversations from which the banks started.

    Raises:
        DataError: a conversation has changed since the journal was written, an operation does not apply, or there is no
            such kind of record.
        FieldError: a conversation is missing.
    """
    told = list(parts(records))
    needed = [record for record, stays in zip(told, still_needed(told), strict=True) if stays]
    namespaces: dict[int, str] = {}
    for record in needed:
        kind, number = kind_of(record)
        if kind == "open":
            namespaces[number] = record["namespace"]
            registry.add(record["namespace"], _opened(number, record, conversations))
        elif kind == "fork":
            namespaces[number] = record["namespace"]
            parent = namespaces[record["parent"]]
            origin = registry.at(parent)
            bank = origin.bank.fork()
            registry.add(
                record["namespace"], OpenBank(number, origin.sample_id, bank, parent=parent, key=record["key"])
            )
        elif kind == "run":
            _replay(registry.at(namespaces[number]).bank, namespaces[number], operations_of(record))
        elif kind == "close":
            registry.close(namespaces[number])
    registry.reserve(max((kind_of(record)[1] for record in told), default=-1) + 1)


def _opened(number: int, record: Any, conversations: Conversations) -> OpenBank:
    sample_id, namespace = record["sample_id"], record["namespace"]
    bank = conversations.fork(sample_id)
    check_digest(namespace, sample_id, record["digest"], conversations.digest(sample_id))
    _replay(bank, namespace, without_keys(operations_of(record)))  # the operations are those of a parent
    return OpenBank(number, sample_id, bank, parent=record["from"], key=record["key"])


def check_digest(namespace: str, sample_id: str, expected: str, found: str) -> None:
    """Checks that the digests of a bank's memories are equal.

    Args:
        namespace: the bank's namespace, for the error message.
        sample_id: the bank's conversation, for the error message.
        expected: the digest in the record.
        found: the digest of the memories that were loaded or replayed.

    Raises:
        DataError: the digests differ.
    """
    if found != expected:
        raise DataError(
            f"memories_dir: conversation {sample_id!r}, on which namespace {namespace!r} is open, has changed: "
            f"expected memories of digest {expected}, found {found}"
        )


def _replay(bank: MemoryBank, namespace: str, operations: Iterable[Operation]) -> None:
    for operation in operations:
        try:
            bank.apply(operation)
        except MemupdateError as error:
            raise DataError(
                f"journal_dir: namespace {namespace!r}: an operation of the journal does not apply: {error}"
            ) from error
