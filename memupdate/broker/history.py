"""The records of a journal. Each record is one event of one bank.

A record identifies its bank by the number that the bank got when it was opened. A namespace can be opened, closed and
opened again, whereas a number always belongs to the same bank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from memupdate.broker.journal import Record
from memupdate.errors import DataError
from memupdate.memory import JSON, Operation

KINDS = ("open", "fork", "run", "close")


def opened(
    number: int,
    namespace: str,
    sample_id: str,
    digest: str,
    parent: str = "",
    key: str = "",
    operations: Sequence[Operation] = (),
) -> Record:
    """Returns the record of a bank that starts from a conversation.

    Args:
        number: the bank's number.
        namespace: the bank's namespace.
        sample_id: the conversation's id; empty for a bank without memories.
        digest: the digest of the conversation's memories. It must be the same at replay.
        parent: the namespace on another shard of which the bank is a fork; empty if the bank is no such fork.
        key: the idempotency key of the opening.
        operations: the operations that the parent bank on the other shard had applied.
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
    """Returns the record of a bank that is forked from the present state of bank ``parent``."""
    return {"fork": number, "namespace": namespace, "parent": parent, "key": key}


def ran(number: int, operations: Sequence[Operation]) -> Record:
    """Returns the record of the mutations that a turn applied."""
    return {"run": number, "operations": [operation.to_json() for operation in operations]}


def together(records: Sequence[Record]) -> Record:
    """Returns the record of turns of several banks that take effect together. It is one line, so it is never torn."""
    return records[0] if len(records) == 1 else {"together": list(records)}


def grouped(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yields, for each record, the list of its parts: the turns of a record of ``together``, or the record itself.

    A turn of a bank that no earlier record opened is left out. A compaction removes the records of a closed bank, but
    it keeps a record of ``together`` whole if any bank in it is still needed.
    """
    begun: set[int] = set()
    for record in records:
        if "together" in record:
            yield [turn for turn in record["together"] if kind_of(turn)[1] in begun]
        else:
            kind, number = kind_of(record)
            if kind in ("open", "fork"):
                begun.add(number)
            yield [record]


def parts(records: Iterable[Record]) -> Iterator[Record]:
    """Yields the parts of all records, in order. See ``grouped``."""
    return chain.from_iterable(grouped(records))


def closed(number: int) -> Record:
    """Returns the record of a bank that was closed."""
    return {"close": number}


def kind_of(record: Record) -> tuple[str, int]:
    """Returns the kind of a record, and the number of its bank.

    Raises:
        DataError: there is no such kind, or no number.
    """
    kind, number = next(iter(record.items()), ("", None))
    if kind not in KINDS or not isinstance(number, int):
        raise DataError(
            f"journal_dir: the journal has a record that begins with {kind!r}: {number!r}; allowed: "
            f"{', '.join(KINDS)} with a bank's number. It was written by another version of memupdate"
        )
    return kind, number


def operations_of(record: Record) -> list[Operation]:
    """Returns the operations in a record. They were checked when they were written, perhaps with other limits."""
    return [Operation.checked_before(**told) for told in record.get("operations", [])]


def needed_whole(records: Iterable[Record]) -> Sequence[bool]:
    """Returns, for each record, whether any of its ``parts`` is ``still_needed``, so that a compaction must keep it."""
    sizes: list[int] = []

    def counted() -> Iterator[Record]:
        for of_record in grouped(records):
            sizes.append(len(of_record))
            yield from of_record

    needed = iter(still_needed(counted()))
    return [any(list(islice(needed, size))) for size in sizes]


def still_needed(records: Iterable[Record]) -> Sequence[bool]:
    """Returns, for each record, whether a bank that is open at the end depends on it.

    A closed bank is needed up to the last fork of it that is needed itself. Its closing record is needed too, because
    its namespace may have been opened again.

    Raises:
        DataError: there is no such kind of record, or a record is about a bank that no earlier record opened.
    """
    told: list[tuple[str, int, Any]] = []
    seen: set[int] = set()
    alive: set[int] = set()
    for record in records:
        kind, number = kind_of(record)
        told.append((kind, number, record.get("parent")))
        if (number in seen) == (kind in ("open", "fork")) or (kind == "fork" and record.get("parent") not in seen):
            raise DataError(
                f"journal_dir: a {kind} record about bank {number} is out of order; allowed: opened once, first"
            )
        if kind in ("open", "fork"):
            seen.add(number)
            alive.add(number)
        elif kind == "close":
            alive.discard(number)
    needed = [False] * len(told)
    for place in reversed(range(len(told))):
        kind, number, parent = told[place]
        needed[place] = number in alive
        if needed[place] and kind == "fork":
            alive.add(parent)
    # The backward pass reaches a closing record before the forks that make its bank needed.
    return [
        stays or (kind == "close" and number in alive) for stays, (kind, number, _) in zip(needed, told, strict=True)
    ]
