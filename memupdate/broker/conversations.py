"""The initial banks of trajectories. Each conversation has one file of initial memories, which is loaded once.

A bank is named by a key: ``conv-1`` is the bank of all memories of this conversation, and ``conv-1@D5:1`` the bank of
those that were learned before turn 1 of session 5 (see ``memupdate.data.bank_keys``). If the preprocessed folder holds
the bank of a chained run for this key, ``banks/conv-1@D5:1.jsonl``, the key opens that bank instead.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memupdate.data.bank_keys import learned_before, split_bank_key
from memupdate.data.banks import stored_keys
from memupdate.data.layout import MEMORIES
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
        # A folder of another name is no part of a preprocessed folder, so what is beside it is not ours.
        preprocessed = memories_dir is not None and memories_dir.name == MEMORIES
        self._stored = stored_keys(memories_dir.parent) if memories_dir is not None and preprocessed else {}
        self._embedder = embedder
        self._banks = {NO_CONVERSATION: MemoryBank.from_memories([], embedder)}
        self._digests: dict[str, str] = {}

    def loaded_as(self, key: str) -> str:
        """Returns the key of the file that holds a bank: the bank's own key if it has a file, else its conversation.

        Raises:
            FieldError: the key is text, but not of the form of a key.
        """
        return key if key in self._stored else split_bank_key(key)[0]

    def __contains__(self, key: object) -> bool:
        """Returns whether the file that holds the key's bank is loaded.

        Raises:
            FieldError: the key is text, but not of the form of a key.
        """
        return isinstance(key, str) and self.loaded_as(key) in self._banks

    def read(self, key: str) -> list[Memory]:
        """Reads the file that holds the key's bank: its own, or all memories of the conversation.

        Raises:
            FieldError: there is no such conversation.
            DataError: the file is broken.
        """
        if self._memories_dir is None:
            raise FieldError("sample_id", key, "empty text: this broker has no memories_dir")
        if isinstance(key, str) and key in self._stored:
            return read_memories(self._stored[key])
        known = sorted(path.stem for path in self._memories_dir.glob("*.jsonl"))
        sample_id = split_bank_key(key)[0] if isinstance(key, str) else key
        if sample_id not in known:  # this also refuses a path such as "../x"
            raise FieldError("sample_id", sample_id, f"a conversation in {self._memories_dir}: {', '.join(known)}")
        return read_memories(self._memories_dir / f"{sample_id}.jsonl")

    def add(self, key: str, memories: Sequence[Memory], embeddings_ND: np.ndarray | None = None) -> None:
        """Adds the initial bank of the file that holds the key's bank.

        Args:
            key: the key of a bank.
            memories: what ``read`` returned for it.
            embeddings_ND: embeddings (N, D) of the memories' texts; None to compute them now.
        """
        name = self.loaded_as(key)
        self._banks[name] = MemoryBank.from_memories(memories, self._embedder, embeddings_ND)
        logger.info("loaded %s: %d memories", name, len(memories))

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
