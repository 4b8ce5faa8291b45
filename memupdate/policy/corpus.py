"""The training conversations of a preprocessed directory. The tiny policy learns from these and from no others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from memupdate.data.bank_keys import learned_before, split_bank_key
from memupdate.data.episodes import SESSION
from memupdate.data.facts import read_initial_memories
from memupdate.data.layout import rows_path, session_rows_path
from memupdate.errors import DataError
from memupdate.memory import Embedder, Memory, MemoryBank
from memupdate.policy.tokenizer import MEMORY_IDS

# A trajectory adds memories; their ids should be known words too.
SPARE_IDS = 12
# By how much the ids of a bank are moved, at most. More would keep ids apart better and takes longer to learn.
SHIFT = 24


@dataclass(frozen=True, slots=True)
class Start:
    """What an episode starts with.

    Attributes:
        prompt: the chat messages that the policy is given.
        bank: the bank that is opened for it, as the rows name it.
    """

    prompt: tuple[dict[str, str], ...]
    bank: str

    @property
    def shown(self) -> str:
        """The text of the user message: a question, or a session."""
        return self.prompt[-1]["content"]


@dataclass(frozen=True, slots=True)
class TrainingConversation:
    """A training conversation.

    Attributes:
        sample_id: the conversation's name.
        memories: its initial memories.
        starts: one for each of its episodes.
    """

    sample_id: str
    memories: tuple[Memory, ...]
    starts: tuple[Start, ...]

    def places(self, start: Start) -> list[int]:
        """Returns which of the memories the bank of an episode starts with, in their order."""
        _, turn = split_bank_key(start.bank)
        return learned_before(self.memories, turn) if turn else list(range(len(self.memories)))


def read_training_conversations(corpus: Path, episode: str) -> list[TrainingConversation]:
    """Reads the conversations of the train split.

    Args:
        corpus: a preprocessed directory.
        episode: the kind of episodes to read, "question" or "session".

    Returns:
        The conversations, in the order of their first rows.

    Raises:
        DataError: the directory is not as preprocessing writes it, or has no training rows of this kind.
    """
    path = session_rows_path(corpus, "train") if episode == SESSION else rows_path(corpus, "train")
    try:
        rows = pq.read_table(path, columns=["prompt", "extra_info"]).to_pylist()
        starts: dict[str, list[Start]] = {}
        for row in rows:
            start = Start(tuple(row["prompt"]), row["extra_info"]["bank"])
            starts.setdefault(row["extra_info"]["sample_id"], []).append(start)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: expected the rows that the preprocessing writes: {error}") from error
    if not starts:
        raise DataError(f"{path}: expected at least one training row of a {episode} episode")
    return [
        TrainingConversation(sample_id, tuple(read_initial_memories(corpus, sample_id)), tuple(found))
        for sample_id, found in starts.items()
    ]


class ShuffledBanks:
    """Makes banks of one conversation in which the memories have other ids in every trajectory.

    If the ids stayed the same, a policy could memorise the id of each fact and would not learn to read it.

    Args:
        memories: the conversation's initial memories.
        embedder: embeds memories and queries.
    """

    def __init__(self, memories: Sequence[Memory], embedder: Embedder) -> None:
        self._memories = list(memories)
        self._embedder = embedder
        self._embeddings_ND = embedder.embed([memory.text for memory in self._memories])

    def draw(self, source: random.Random, places: Sequence[int] | None = None) -> MemoryBank:
        """Returns a bank with memories in a random order. Their ids start at a random number, at most ``SHIFT``.

        Args:
            source: of the order and of the first id.
            places: which of the conversation's memories the bank holds; None for all.
        """
        held = range(len(self._memories)) if places is None else places
        count = len(held)
        order = source.sample(held, count)
        first = source.randint(1, max(1, min(SHIFT, len(MEMORY_IDS) - count - SPARE_IDS)))
        renamed = [replace(self._memories[place], id=f"m{number}") for number, place in enumerate(order, start=first)]
        return MemoryBank.from_memories(renamed, self._embedder, self._embeddings_ND[np.array(order, dtype=np.intp)])


def known_ids(conversations: Sequence[TrainingConversation]) -> Sequence[str]:
    """Returns the ids that can occur in trajectories of these conversations."""
    largest = max(len(conversation.memories) for conversation in conversations)
    return MEMORY_IDS[: largest + SHIFT + SPARE_IDS]
