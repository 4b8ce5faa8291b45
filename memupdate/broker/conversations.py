"""The initial banks of trajectories. Each conversation has one file of initial memories, which is loaded once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memupdate.errors import FieldError
from memupdate.memory import Embedder, Memory, MemoryBank, read_memories

logger = logging.getLogger(__name__)

# The conversation id of a bank that starts without memories.
NO_CONVERSATION = ""


class Conversations:
    """Initial banks by conversation id. They are embedded on first use and never change.

    Args:
        memories_dir: the directory of the files ``{sample_id}.jsonl`` that preprocessing wrote; None if every bank
            starts empty.
        embedder: embeds the initial memories.

    Raises:
        FieldError: ``memories_dir`` is not a directory.
    """

    def __init__(self, memories_dir: Path | None, embedder: Embedder) -> None:
        if memories_dir is not None and not memories_dir.is_dir():
            raise FieldError("memories_dir", str(memories_dir), "a directory that preprocess_locomo wrote")
        self._memories_dir = memories_dir
        self._embedder = embedder
        self._banks = {NO_CONVERSATION: MemoryBank.from_memories([], embedder)}
        self._digests: dict[str, str] = {}

    def __contains__(self, sample_id: object) -> bool:
        """Returns whether the conversation is loaded."""
        return isinstance(sample_id, str) and sample_id in self._banks

    def read(self, sample_id: str) -> list[Memory]:
        """Reads the conversation's memories from its file.

        Raises:
            FieldError: there is no such conversation.
            DataError: the file is broken.
        """
        if self._memories_dir is None:
            raise FieldError("sample_id", sample_id, "empty text: this broker has no memories_dir")
        known = sorted(path.stem for path in self._memories_dir.glob("*.jsonl"))
        if sample_id not in known:  # this also refuses a path such as "../x"
            raise FieldError("sample_id", sample_id, f"a conversation in {self._memories_dir}: {', '.join(known)}")
        return read_memories(self._memories_dir / f"{sample_id}.jsonl")

    def add(self, sample_id: str, memories: Sequence[Memory], embeddings_ND: np.ndarray | None = None) -> None:
        """Adds a conversation's initial bank.

        Args:
            sample_id: the conversation's id.
            memories: the conversation's memories.
            embeddings_ND: embeddings (N, D) of the memories' texts; None to compute them at the first search.
        """
        self._banks[sample_id] = MemoryBank.from_memories(memories, self._embedder, embeddings_ND)
        logger.info("loaded %s: %d memories", sample_id, len(memories))

    def fork(self, sample_id: str) -> MemoryBank:
        """Returns a new bank with the conversation's memories. Loads the conversation if needed.

        Raises:
            FieldError: there is no such conversation.
            DataError: the conversation's file is broken.
        """
        if sample_id not in self:
            self.add(sample_id, self.read(sample_id))
        return self._banks[sample_id].fork()

    def digest(self, sample_id: str) -> str:
        """Returns the digest of the initial bank of a loaded conversation."""
        if sample_id not in self._digests:
            self._digests[sample_id] = self._banks[sample_id].digest()
        return self._digests[sample_id]
