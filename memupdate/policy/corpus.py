"""The training conversations of a preprocessed directory. The tiny policy learns from these and from no others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from memupdate.data.facts import read_initial_memories
from memupdate.data.layout import rows_path
from memupdate.errors import DataError
from memupdate.memory import Embedder, Memory, MemoryBank
from memupdate.policy.tokenizer import MEMORY_IDS

# A trajectory adds memories; their ids should be known words too.
SPARE_IDS = 12
# By how much the ids of a bank are moved, at most. More would keep ids apart better and takes longer to learn.
SHIFT = 24


@dataclass(frozen=True, slots=True)
class TrainingConversation:
    """A training conversation.

    Attributes:
        sample_id: the conversation's name.
        memories: its initial memories.
        prompts: for each question, the chat messages that the policy is given.
    """

    sample_id: str
    memories: tuple[Memory, ...]
    prompts: tuple[tuple[dict[str, str], ...], ...]

    @property
    def questions(self) -> list[str]:
        """The texts of the questions."""
        return [prompt[-1]["content"] for prompt in self.prompts]


def read_training_conversations(corpus: Path) -> list[TrainingConversation]:
    """Reads the conversations of the train split.

    Args:
        corpus: a preprocessed directory.

    Returns:
        The conversations, in the order of their first rows.

    Raises:
        DataError: the directory is not as preprocessing writes it.
    """
    path = rows_path(corpus, "train")
    try:
        rows = pq.read_table(path, columns=["prompt", "extra_info"]).to_pylist()
        prompts: dict[str, list[tuple[dict[str, str], ...]]] = {}
        for row in rows:
            prompts.setdefault(row["extra_info"]["sample_id"], []).append(tuple(row["prompt"]))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: expected the rows that the preprocessing writes: {error}") from error
    return [
        TrainingConversation(sample_id, tuple(read_initial_memories(corpus, sample_id)), tuple(found))
        for sample_id, found in prompts.items()
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

    def draw(self, source: random.Random) -> MemoryBank:
        """Returns a bank with the memories in a random order. Their ids start at a random number, at most ``SHIFT``."""
        count = len(self._memories)
        order = source.sample(range(count), count)
        first = source.randint(1, max(1, min(SHIFT, len(MEMORY_IDS) - count - SPARE_IDS)))
        renamed = [replace(self._memories[place], id=f"m{number}") for number, place in enumerate(order, start=first)]
        return MemoryBank.from_memories(renamed, self._embedder, self._embeddings_ND[np.array(order, dtype=np.intp)])


def known_ids(conversations: Sequence[TrainingConversation]) -> Sequence[str]:
    """Returns the ids that can occur in trajectories of these conversations."""
    largest = max(len(conversation.memories) for conversation in conversations)
    return MEMORY_IDS[: largest + SHIFT + SPARE_IDS]
