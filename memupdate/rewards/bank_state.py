"""What the reward reads of a bank: how many memories, how long they are, and which ones answer the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from memupdate.checks import check_at_least, check_number_from_zero


class ReadableMemory(Protocol):
    """What the reward reads of a memory."""

    @property
    def text(self) -> str:
        """The memory as a reader sees it."""


class Hit(Protocol):
    """One search result."""

    @property
    def memory(self) -> ReadableMemory:
        """The memory that was found."""


class ReadableBank(Protocol):
    """What the reward reads of a bank. A ``MemoryBank`` and its snapshots have all of it."""

    def __len__(self) -> int: ...

    def search(self, query: str, top_k: int = 5) -> Sequence[Hit]:
        """Returns at most ``top_k`` hits, best first."""

    def mean_characters(self) -> float:
        """Returns the mean number of characters of content per memory; 0 for an empty bank."""


@dataclass(frozen=True, slots=True)
class BankState:
    """Everything that the reward needs of a bank. It is small and cheap to send between processes.

    Attributes:
        count: number of memories in the bank.
        mean_characters: mean number of characters of content per memory; 0 for an empty bank.
        retrieved: texts of the memories that are retrieved for the question, best first.

    Raises:
        FieldError: a count or a mean that no bank can have.
    """

    count: int
    mean_characters: float
    retrieved: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "retrieved", tuple(self.retrieved))
        check_at_least("count", self.count, 0)
        check_number_from_zero("mean_characters", self.mean_characters)

    @classmethod
    def of(cls, bank: ReadableBank, question: str, top_k: int = 5) -> BankState:
        """Reads a bank as it is now.

        Args:
            bank: the bank.
            question: what to search for.
            top_k: how many memories to retrieve at most.
        """
        hits = bank.search(question, top_k=top_k)
        return cls(len(bank), bank.mean_characters(), tuple(hit.memory.text for hit in hits))
