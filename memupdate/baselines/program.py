"""What a program is: a fixed rule that edits a bank, with what an honest reward should pay for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from memupdate.baselines.episodes import Episode
from memupdate.errors import FieldError
from memupdate.memory import MAX_CONTENT_CHARACTERS, Memory, MemoryBank

Edit = Callable[[MemoryBank, Episode, random.Random], None]
Plant = Callable[[MemoryBank, Episode, random.Random], Edit | None]


class Kind(StrEnum):
    """What a program is an example of. The value says what the reward should be, on the mean over a corpus."""

    NOTHING = "exactly 0"
    CONSTANT = "little"
    VANDAL = "below 0"
    USEFUL = "above 0"
    NEUTRAL = "within 0.02 of 0"
    ORACLE = "much"


@dataclass(frozen=True)
class Program:
    """A program.

    Attributes:
        name: its name in tables.
        kind: what it is an example of.
        edit: edits a bank. It is given the episode, and all kinds but an oracle ignore its hidden questions.
        plant: for useful edits. It changes the bank before the episode starts, so that there is something to mend, and
            returns the edit; None if the episode has no place for it.
    """

    name: str
    kind: Kind
    edit: Edit | None = None
    plant: Plant | None = None

    def play(self, episode: Episode, seed: int) -> tuple[MemoryBank, MemoryBank] | None:
        """Plays the program on an episode.

        Args:
            episode: the episode.
            seed: of the program's random choices. They also depend on the episode.

        Returns:
            The bank that the program started from, and the bank after it; None if the program has nothing to do here.
        """
        source = random.Random(f"{seed}:{self.name}:{episode.key}")
        start, edit = episode.start.fork(), self.edit
        if self.plant is not None:
            edit = self.plant(start, episode, source)
            start = MemoryBank.from_memories(list(start), start.embedder)
        if edit is None:
            return None
        bank = start.fork()
        edit(bank, episode, source)
        return start, bank


def write(bank: MemoryBank, text: str) -> None:
    """Adds a memory, as the tool ``manage_memory`` does. Text beyond the longest content is cut off."""
    if text.strip():
        bank.create(text[:MAX_CONTENT_CHARACTERS])


def hits(bank: MemoryBank, episode: Episode, count: int = 5) -> list[Memory]:
    """Returns what a search for the shown question finds; for what the session says first, without one."""
    if not len(bank):
        return []
    query = episode.shown.question if episode.shown else episode.lines[0]
    return [hit.memory for hit in bank.search(query, top_k=count)]


def merge(bank: MemoryBank, memories: Sequence[Memory], strategy: str) -> None:
    """Merges memories if the bank allows it: there are at least two, and the result is not too long."""
    if len(memories) >= 2:
        with suppress(FieldError):
            bank.merge([memory.id for memory in memories], strategy)


def merge_all(bank: MemoryBank) -> None:
    """Merges the bank into as few memories as the bank allows, neighbours first."""
    while True:
        before = len(bank)
        memories = list(bank)
        for start in range(0, before, 5):
            merge(bank, memories[start : start + 5], "concatenate")
        if len(bank) == before:
            return


def keep_only(bank: MemoryBank, kept: Sequence[Memory]) -> list[Memory]:
    """Returns the memories that are not among ``kept``."""
    names = {memory.id for memory in kept}
    return [memory for memory in bank if memory.id not in names]
