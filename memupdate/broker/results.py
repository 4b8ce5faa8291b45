"""What a broker answers: plain data, so that no bank, memory or array ever leaves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict, cast

from memupdate.memory import JSON, Memory, Operation, SearchHit


class MemoryRecord(TypedDict):
    """A memory as JSON: the fields of ``Memory``, and what a reader sees of it.

    Attributes:
        text: ``Memory.text``.
        score: how well it fits the query; of a memory that a search found.
    """

    id: str
    content: str
    memory_type: str
    speaker: str
    session: int | None
    session_date: str
    evidence: list[str]
    source: str
    metadata: dict[str, JSON]
    text: str
    score: NotRequired[float]


class Refusal(StrEnum):
    """Why a bank refused an operation."""

    UNKNOWN_MEMORY = "unknown_memory"
    """The bank does not hold a memory that the operation names."""
    NOT_ALLOWED = "not_allowed"
    """An argument has a value that is not allowed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one operation of a turn gave: its result, or why it was refused.

    Attributes:
        value: the result: one memory (create, put, update, delete, merge, get), or several (split, sample, and search
            with scores, best first). None if the operation was refused.
        error: what to tell a reader about the refusal; empty without one.
        refusal: the kind of the refusal, for a program; None without one.
    """

    value: MemoryRecord | list[MemoryRecord] | None = None
    error: str = ""
    refusal: Refusal | None = None

    @property
    def memory(self) -> MemoryRecord:
        """The one memory that the operation gave."""
        assert isinstance(self.value, dict), self
        return self.value

    @property
    def memories(self) -> list[MemoryRecord]:
        """The memories that the operation gave."""
        assert isinstance(self.value, list), self
        return self.value


class Opened(TypedDict):
    """What ``open`` and ``fork`` answer.

    Attributes:
        count: how many memories the bank holds now.
        created: whether this call opened the namespace; false if it was open already.
    """

    count: int
    created: bool


class BankStats(TypedDict):
    """Sizes of a bank.

    Attributes:
        sample_id: the conversation that it started from; empty for a bank that started without memories.
        count: how many memories it holds now.
        count_initial: how many memories it started with.
        mean_characters: mean number of characters of a memory's content; 0 for an empty bank.
        types: how many memories there are of each type.
        mutations: how many operations have changed it.
    """

    sample_id: str
    count: int
    count_initial: int
    mean_characters: float
    types: dict[str, int]
    mutations: int


class FinalState(TypedDict):
    """All that is needed to keep a bank, or to compare it.

    Attributes:
        sample_id: the conversation that it started from.
        digest: the hash of its content.
        memories: every memory, in order.
        journal: the operations that have changed it, as ``Operation.to_json`` writes them.
    """

    sample_id: str
    digest: str
    memories: list[MemoryRecord]
    journal: list[dict[str, JSON]]


class StateForReward(TypedDict):
    """What a reward needs of a bank at one moment.

    Attributes:
        count: how many memories it holds.
        mean_characters: mean number of characters of a memory's content; 0 for an empty bank.
        retrieved: the texts that were found for the question, best first.
    """

    count: int
    mean_characters: float
    retrieved: tuple[str, ...]


class Evaluation(TypedDict):
    """A trajectory's bank before the first operation and now."""

    before: StateForReward
    after: StateForReward


class Recipe(TypedDict):
    """What another shard needs to make a fork of a bank.

    Attributes:
        sample_id: the conversation that the bank started from.
        initial: the digest of that conversation's memories.
        operations: what has changed the bank since.
        digest: the bank's own.
    """

    sample_id: str
    initial: str
    operations: Sequence[Operation]
    digest: str


def memory_record(memory: Memory) -> MemoryRecord:
    """Returns the memory as JSON."""
    return cast(MemoryRecord, {**memory.to_json(), "text": memory.text})


def result_record(result: Memory | Sequence[Memory] | Sequence[SearchHit]) -> MemoryRecord | list[MemoryRecord]:
    """Returns as JSON what ``MemoryBank.apply`` returned; see ``Outcome.value``."""
    if isinstance(result, Memory):
        return memory_record(result)
    return [
        {**memory_record(item.memory), "score": item.score} if isinstance(item, SearchHit) else memory_record(item)
        for item in result
    ]
