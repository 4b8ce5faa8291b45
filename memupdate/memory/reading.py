"""Reading a bank for a question: hits in rank order until a number of characters is used.

A budget in characters has no slots. Whether five facts stand in five memories or in one, the reader gets the same
number of characters, so that merging memories does not by itself let more be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memupdate.checks import check_number_between, check_positive_int, check_positive_number
from memupdate.errors import FieldError
from memupdate.memory.view import BankView

# The first search asks for this many hits; while the budget lasts, the next one asks for four times as many.
FIRST_HITS = 16
MAX_READ_CHARACTERS = 10_000_000


@dataclass(frozen=True, slots=True)
class ReadBudget:
    """How many characters of a bank are read for one question.

    Attributes:
        memories: the budget as a multiple of the mean length of the bank's memories.
        characters: the budget in characters; None to take it from ``memories``.
        mean_if_empty: the mean length to take for a bank without memories; None if there is none to take.

    Raises:
        FieldError: a field has a value that is not allowed.
    """

    memories: float = 5.0
    characters: int | None = None
    mean_if_empty: float | None = None

    def __post_init__(self) -> None:
        check_number_between("read_memories", self.memories, 1, MAX_READ_CHARACTERS)
        if self.characters is not None:
            check_positive_int("read_characters", self.characters)
        if self.mean_if_empty is not None:
            check_positive_number("mean_if_empty", self.mean_if_empty)

    def of(self, bank: BankView) -> int:
        """Returns the budget in characters.

        Args:
            bank: the bank before the edits. The budget stays the same for the bank after them.

        Raises:
            FieldError: the budget is below one memory of the bank, or the bank is empty and nothing else gives a mean.
        """
        mean = bank.characters() / len(bank) if len(bank) else self.mean_if_empty
        if self.characters is not None:
            if mean is not None and self.characters < mean:
                raise FieldError("read_characters", self.characters, f"at least one memory of this bank, {mean:.0f}")
            return self.characters
        if mean is None:
            raise FieldError("read_characters", None, "a number of characters, because the bank starts empty")
        return round(self.memories * mean)


def read_within(bank: BankView, query: str, characters: int, vector_D: np.ndarray | None = None) -> tuple[str, ...]:
    """Reads hits in rank order until ``characters`` are used.

    Args:
        bank: the bank.
        query: what to search for.
        characters: how many characters to read at most.
        vector_D: the embedding of the query; None computes it.

    Returns:
        The texts that were read, best first. Together they have at most ``characters`` characters. The last one is cut
        at a word if it does not fit, and left out if not even its first word fits.

    Raises:
        FieldError: the query is empty, or ``characters`` is below 1.
    """
    check_positive_int("characters", characters)
    asked = FIRST_HITS
    while True:
        hits = bank.search(query, top_k=asked, vector_D=vector_D)
        texts, full = _within([hit.memory.text for hit in hits], characters)
        if full or len(hits) < asked:
            return texts
        asked *= 4


def _within(texts: list[str], characters: int) -> tuple[tuple[str, ...], bool]:
    """Returns the texts that fit, and whether the budget is used up."""
    read: list[str] = []
    left = characters
    for text in texts:
        if len(text) > left:
            cut = _cut(text, left)
            return (*read, cut) if cut else tuple(read), True
        read.append(text)
        left -= len(text)
    return tuple(read), left == 0


def _cut(text: str, characters: int) -> str:
    """Returns the words at the start of ``text`` that fit into ``characters``."""
    if text[characters].isspace():
        return text[:characters].rstrip()
    words = text[:characters].split(" ")
    return " ".join(words[:-1]).rstrip()
