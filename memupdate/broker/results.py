"""The answers of a broker. They are plain data: a broker never hands out a bank, a memory object or an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NotRequired, TypedDict, cast

from memupdate.errors import MemupdateError
from memupdate.memory import JSON, Memory, Operation, SearchHit


class MemoryRecord(TypedDict):
    """A memory as JSON: the fields of ``Memory``, its text, and its score in a search.

    Attributes:
        text: ``Memory.text``.
        score: the similarity to the query; only in the results of a search.
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
    """The bank holds no memory with an id that the operation names."""
    NOT_ALLOWED = "not_allowed"
    """An argument has a value that is not allowed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one operation of a turn, or the reason why it was refused.

    Attributes:
        value: one memory (create, put, update, delete, merge, get) or several memories (split, sample, search). Those
            of a search have scores, best first. None if the operation was refused.
        error: the error message; empty if the operation was not refused.
        refusal: the kind of refusal; None if the operation was not refused.
    """

    value: MemoryRecord | list[MemoryRecord] | None = None
    error: str = ""
    refusal: Refusal | None = None

    @property
    def memory(self) -> MemoryRecord:
        """The memory in ``value``, for an operation that returns one memory."""
        assert isinstance(self.value, dict), self
        return self.value

    @property
    def memories(self) -> list[MemoryRecord]:
        """The memories in ``value``, for an operation that returns several memories."""
        assert isinstance(self.value, list), self
        return self.value


class RefusedError(MemupdateError):
    """A bank refused an operation. The operation changed nothing.

    Attributes:
        namespace: the bank's namespace.
        kind: the operation's kind.
        reason: the reason for the refusal, in words.
    """

    def __init__(self, namespace: str, kind: str, reason: str) -> None:
        super().__init__(namespace, kind, reason)
        self.namespace = namespace
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.kind} on bank {self.namespace!r}: {self.reason}"


def check_none_refused(namespace: str, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
    """Raises RefusedError for the first refused operation, unless it deletes a memory that is not there."""
    for operation, outcome in zip(operations, outcomes, strict=True):
        gone = operation.kind == "delete" and outcome.refusal is Refusal.UNKNOWN_MEMORY
        if outcome.error and not gone:
            raise RefusedError(namespace, operation.kind, outcome.error)


class Opened(TypedDict):
    """The answer of ``open`` and ``fork``.

    Attributes:
        count: the number of memories in the bank now.
        created: whether this call, or an earlier one with the same key, opened the namespace; false if it was open
            already.
    """

    count: int
    created: bool


class BankStats(TypedDict):
    """Sizes and counts of a bank.

    Attributes:
        sample_id: the key of the conversation's bank from which the bank started, as ``open`` takes it; empty if it
            started without memories.
        count: the number of memories now.
        count_initial: the number of memories at the start.
        mean_characters: the mean number of characters of a memory's content; 0 for an empty bank.
        types: the number of memories of each type.
        mutations: the number of operations that have changed the bank.
    """

    sample_id: str
    count: int
    count_initial: int
    mean_characters: float
    types: dict[str, int]
    mutations: int


class FinalState(TypedDict):
    """Everything that is needed to store a bank or to compare it with another.

    Attributes:
        sample_id: the key of the conversation's bank from which the bank started.
        digest: the hash of the bank's content.
        memories: all memories, in order.
        journal: the operations that have changed the bank, in the format of ``Operation.to_json``.
    """

    sample_id: str
    digest: str
    memories: list[MemoryRecord]
    journal: list[dict[str, JSON]]


class StateForReward(TypedDict):
    """The data that a reward needs of a bank at one moment.

    Attributes:
        count: the number of memories in the bank.
        mean_characters: the mean number of characters of a memory's content; 0 for an empty bank.
        retrieved: the texts of the memories retrieved for the question, best first.
    """

    count: int
    mean_characters: float
    retrieved: tuple[str, ...]


class Evaluation(TypedDict):
    """The states of a trajectory's bank before the first operation and now."""

    before: StateForReward
    after: StateForReward


class Recipe(TypedDict):
    """The data from which another shard makes a fork of a bank.

    Attributes:
        sample_id: the key of the conversation's bank from which the bank started.
        initial: the digest of the conversation's memories.
        operations: the operations that have changed the bank since its start.
        digest: the digest of the present bank.
    """

    sample_id: str
    initial: str
    operations: Sequence[Operation]
    digest: str


def memory_record(memory: Memory) -> MemoryRecord:
    """Returns the memory as JSON."""
    return cast(MemoryRecord, {**memory.to_json(), "text": memory.text})


def result_record(result: Memory | Sequence[Memory] | Sequence[SearchHit]) -> MemoryRecord | list[MemoryRecord]:
    """Returns a result of ``MemoryBank.apply`` as JSON, for ``Outcome.value``."""
    if isinstance(result, Memory):
        return memory_record(result)
    return [
        {**memory_record(item.memory), "score": item.score} if isinstance(item, SearchHit) else memory_record(item)
        for item in result
    ]
