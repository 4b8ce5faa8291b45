"""What a mutation would do to a bank. All of it is computed and checked before the bank changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from memupdate.checks import check_int_between
from memupdate.errors import FieldError
from memupdate.memory.merging import merged_fields
from memupdate.memory.operation import Operation
from memupdate.memory.record import Memory, checked_text
from memupdate.memory.splitting import split_content
from memupdate.memory.view import BankView

MAX_MERGED = 5
MAX_PARTS = 5


@dataclass(frozen=True, slots=True)
class Change:
    """The effect of one mutation.

    Attributes:
        result: what the caller gets.
        removed: ids of memories that leave the bank.
        updated: memories that replace those of the same id.
        added: memories that are added at the end.
    """

    result: Memory | list[Memory]
    removed: tuple[str, ...] = ()
    updated: tuple[Memory, ...] = ()
    added: tuple[Memory, ...] = ()

    @property
    def written(self) -> tuple[Memory, ...]:
        """The memories that have new content."""
        return self.updated + self.added


def plan(view: BankView, operation: Operation, ids: Iterator[str]) -> Change:
    """Computes what an operation would do to a bank, without doing it.

    Args:
        view: the bank's state.
        operation: a mutation.
        ids: gives the ids of new memories.

    Raises:
        FieldError: an argument is not allowed.
        UnknownMemoryError: an id is not in the bank.
    """
    return _PLANNERS[operation.kind](view, ids, **operation.arguments)


def _create(view: BankView, ids: Iterator[str], **fields: Any) -> Change:
    memory = Memory(id=next(ids), **fields)
    return Change(memory, added=(memory,))


def _update(view: BankView, ids: Iterator[str], memory_id: str, content: str, **fields: Any) -> Change:
    memory = replace(view.get(memory_id), content=content, **fields)
    return Change(memory, updated=(memory,))


def _put(view: BankView, ids: Iterator[str], memory_id: str, content: str, **fields: Any) -> Change:
    memory = Memory(id=memory_id, content=content, **fields)
    return Change(memory, updated=(memory,)) if memory_id in view else Change(memory, added=(memory,))


def _delete(view: BankView, ids: Iterator[str], memory_id: str, reason: str = "") -> Change:
    checked_text("reason", reason, blank=True)
    return Change(view.get(memory_id), removed=(memory_id,))


def _merge(view: BankView, ids: Iterator[str], memory_ids: list[str], strategy: str) -> Change:
    if not isinstance(memory_ids, list) or not 2 <= len(memory_ids) <= MAX_MERGED:
        raise FieldError("memory_ids", memory_ids, f"a list of 2 to {MAX_MERGED} memory ids")
    sources = [view.get(memory_id) for memory_id in memory_ids]
    if len(set(memory_ids)) < len(memory_ids):
        raise FieldError("memory_ids", memory_ids, "ids that are all different")
    merged = Memory(id=next(ids), **merged_fields(sources, strategy))
    return Change(merged, removed=tuple(memory_ids), added=(merged,))


def _split(view: BankView, ids: Iterator[str], memory_id: str, split_criteria: str, max_parts: int = 3) -> Change:
    source = view.get(memory_id)
    check_int_between("max_parts", max_parts, 2, MAX_PARTS)
    parts = tuple(
        replace(source, id=next(ids), content=content, metadata={**source.metadata, "split_from": memory_id})
        for content in split_content(source, split_criteria, max_parts)
    )
    return Change(list(parts), removed=(memory_id,), added=parts)


_PLANNERS: dict[str, Callable[..., Change]] = {
    "create": _create,
    "update": _update,
    "put": _put,
    "delete": _delete,
    "merge": _merge,
    "split": _split,
}
