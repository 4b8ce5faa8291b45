"""The initial banks of trajectories. Each conversation has one file of initial memories, which is loaded once.

A bank is named by a key: ``conv-1`` is the bank of all memories of this conversation, and ``conv-1@D5:1`` the bank of
those that were learned before turn 1 of session 5 (see ``memupdate.data.bank_keys``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memupdate.data.bank_keys import learned_before, split_bank_key
from memupdate.errors import DataError, FieldError
from memupdate.memory import Embedder, Memory, MemoryBank, read_memories

logger = logging.getLogger(__name__)

# The conversation id of a bank that starts without memories.
NO_CONVERSATION = ""


class Conversations:
    """Initial banks by key. The memories of a conversation are embedded on first use and never change.

    Banks before a turn share the memories and the embeddings of their conversation.

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

    def __contains__(self, key: object) -> bool:
        """Returns whether the memories of the key's conversation are loaded.

        Raises:
            FieldError: the key is text, but not of the form of a key.
        """
        return isinstance(key, str) and split_bank_key(key)[0] in self._banks

    def read(self, key: str) -> list[Memory]:
        """Reads the memories of the key's conversation from its file: all of them, whichever turn the key names.

        Raises:
            FieldError: there is no such conversation.
            DataError: the file is broken.
        """
        if self._memories_dir is None:
            raise FieldError("sample_id", key, "empty text: this broker has no memories_dir")
        known = sorted(path.stem for path in self._memories_dir.glob("*.jsonl"))
        sample_id = split_bank_key(key)[0] if isinstance(key, str) else key
        if sample_id not in known:  # this also refuses a path such as "../x"
            raise FieldError("sample_id", sample_id, f"a conversation in {self._memories_dir}: {', '.join(known)}")
        return read_memories(self._memories_dir / f"{sample_id}.jsonl")

    def add(self, key: str, memories: Sequence[Memory], embeddings_ND: np.ndarray | None = None) -> None:
        """Adds the initial bank of the key's conversation.

        Args:
            key: a key of the conversation.
            memories: all of the conversation's memories.
            embeddings_ND: embeddings (N, D) of the memories' texts; None to compute them now.
        """
        sample_id, _ = split_bank_key(key)
        self._banks[sample_id] = MemoryBank.from_memories(memories, self._embedder, embeddings_ND)
        logger.info("loaded %s: %d memories", sample_id, len(memories))

    def fork(self, key: str) -> MemoryBank:
        """Returns a new bank with the key's memories. Loads the conversation if needed.

        Raises:
            FieldError: there is no such conversation, or the key is not of the form of a key.
            DataError: the conversation's file is broken, or a memory does not tell when it was learned.
        """
        return self._bank(key).fork()

    def digest(self, key: str) -> str:
        """Returns the digest of the initial bank of a key."""
        if key not in self._digests:
            self._digests[key] = self._bank(key).digest()
        return self._digests[key]

    def _bank(self, key: str) -> MemoryBank:
        if key not in self:
            self.add(key, self.read(key))
        if key not in self._banks:
            sample_id, dialog_id = split_bank_key(key)
            whole = self._banks[sample_id]
            try:
                slots = learned_before(list(whole.initial), dialog_id)
            except DataError as error:
                raise DataError(f"bank {key!r}: {error}") from error
            self._banks[key] = MemoryBank.from_part(whole, slots)
        return self._banks[key]
