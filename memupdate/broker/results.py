"""What the broker answers: plain JSON data, so that no bank, memory or array ever leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memupdate.memory import JSON, Memory, SearchHit


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one operation of a turn gave: its result, or the error that it ran into.

    Attributes:
        value: the result as JSON: a memory's record (create, update, delete, merge, get), a list of records (split,
            sample), or a list of records with a ``score`` (search), best first. None after an error.
        error: the error's message; empty without one.
    """

    value: JSON = None
    error: str = ""


def memory_record(memory: Memory) -> dict[str, JSON]:
    """The memory's own fields, and ``text``: what a reader sees of it."""
    return {**memory.to_json(), "text": memory.text}


def result_record(result: Memory | Sequence[Memory] | Sequence[SearchHit]) -> JSON:
    """What ``MemoryBank.apply`` returned, as JSON; the shapes are listed at ``Outcome.value``."""
    if isinstance(result, Memory):
        return memory_record(result)
    records: list[JSON] = []
    for item in result:
        if isinstance(item, SearchHit):
            records.append({**memory_record(item.memory), "score": item.score})
        else:
            records.append(memory_record(item))
    return records
