"""The records of a journal: what happened to which bank.

A record names a bank by the number that it got on opening. A namespace can be opened, closed and opened again; a number
belongs to one bank for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from memupdate.broker.journal import Record
from memupdate.memory import JSON, Operation


def opened(
    number: int,
    namespace: str,
    sample_id: str,
    digest: str,
    parent: str = "",
    key: str = "",
    operations: Sequence[Operation] = (),
) -> Record:
    """Returns the record of a bank that starts from a conversation, whose digest must be the same on replay.

    Args:
        number: the bank's number.
        namespace: the bank's namespace.
        sample_id: the conversation; empty for no memories.
        digest: of the conversation's memories.
        parent: the namespace on another shard that it was forked from; empty if it was opened.
        key: idempotency key of the opening.
        operations: the operations that changed it before, on another shard.
    """
    told: list[JSON] = [operation.to_json() for operation in operations]
    return {
        "open": number,
        "namespace": namespace,
        "sample_id": sample_id,
        "digest": digest,
        "from": parent,
        "key": key,
        "operations": told,
    }


def forked(number: int, namespace: str, parent: int, key: str) -> Record:
    """Returns the record of a bank that starts from the present state of another one."""
    return {"fork": number, "namespace": namespace, "parent": parent, "key": key}


def ran(number: int, operations: Sequence[Operation]) -> Record:
    """Returns the record of a turn's mutations, which were applied."""
    return {"run": number, "operations": [operation.to_json() for operation in operations]}


def closed(number: int) -> Record:
    """Returns the record of a bank that was closed."""
    return {"close": number}


def operations_of(record: Record) -> list[Operation]:
    """Returns the operations in a record."""
    return [Operation.from_json(told) for told in record.get("operations", [])]


def still_needed(records: Iterable[Record]) -> Sequence[bool]:
    """Returns for each record whether a bank that is open at the end depends on it.

    A closed bank is needed up to the last fork of it that is needed. The record of its closing is kept too, because its
    namespace may be open again.
    """
    told: list[tuple[str, int, Any]] = []
    alive: set[int] = set()
    for record in records:
        kind, number = next(iter(record.items()))
        told.append((kind, number, record.get("parent")))
        if kind in ("open", "fork"):
            alive.add(number)
        elif kind == "close":
            alive.discard(number)
    needed = [False] * len(told)
    for place in reversed(range(len(told))):
        kind, number, parent = told[place]
        needed[place] = number in alive
        if needed[place] and kind == "fork":
            alive.add(parent)
    # Going backwards a closing comes before the forks that make its bank needed.
    return [
        stays or (kind == "close" and number in alive) for stays, (kind, number, _) in zip(needed, told, strict=True)
    ]
