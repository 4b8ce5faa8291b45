"""What the tiny policy learns from: the training conversations of a preprocessed directory, and no others."""

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
    """A training conversation: its initial memories, its questions, and the chat messages that each question starts.

    Attributes:
        sample_id: the conversation's name.
        memories: the initial bank.
        prompts: per question, the messages that the policy is given.
    """

    sample_id: str
    memories: tuple[Memory, ...]
    prompts: tuple[tuple[dict[str, str], ...], ...]

    @property
    def questions(self) -> list[str]:
        """The questions' texts."""
        return [prompt[-1]["content"] for prompt in self.prompts]


def read_training_conversations(corpus: Path) -> list[TrainingConversation]:
    """The conversations of the train split, in the order of their first rows.

    Raises:
        DataError: if the directory is not what the preprocessing writes.
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
    """Banks of one conversation whose memories change their ids from trajectory to trajectory.

    Were ids constant, a policy could learn by heart which id a fact has, and would not learn to read it.
    """

    def __init__(self, memories: Sequence[Memory], embedder: Embedder) -> None:
        self._memories = list(memories)
        self._embedder = embedder
        self._embeddings_ND = embedder.embed([memory.text for memory in self._memories])

    def draw(self, source: random.Random) -> MemoryBank:
        """A bank with the conversation's memories in another order, under ids that start anywhere up to ``SHIFT``."""
        count = len(self._memories)
        order = source.sample(range(count), count)
        first = source.randint(1, max(1, min(SHIFT, len(MEMORY_IDS) - count - SPARE_IDS)))
        renamed = [replace(self._memories[place], id=f"m{number}") for number, place in enumerate(order, start=first)]
        return MemoryBank.from_memories(renamed, self._embedder, self._embeddings_ND[np.array(order, dtype=np.intp)])


def known_ids(conversations: Sequence[TrainingConversation]) -> Sequence[str]:
    """The ids that trajectories over these conversations hold."""
    largest = max(len(conversation.memories) for conversation in conversations)
    return MEMORY_IDS[: largest + SHIFT + SPARE_IDS]
