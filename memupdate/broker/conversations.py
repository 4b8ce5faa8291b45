"""The banks that trajectories start from: one file of initial memories per conversation, loaded once."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from memupdate.errors import DataError, FieldError
from memupdate.memory import Embedder, Memory, MemoryBank

logger = logging.getLogger(__name__)


def read_memories(path: Path) -> list[Memory]:
    """The memories in a JSONL file, in order.

    Raises:
        DataError: the file cannot be read, or a line is not a memory; names file and line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            lines = list(file)  # not splitlines: that would also cut at the line separators that JSON text may hold
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a readable UTF-8 file with one memory per line: {error}") from error
    memories = []
    for number, line in enumerate(lines, start=1):
        try:
            memories.append(Memory.from_json(json.loads(line)))
        except (json.JSONDecodeError, FieldError) as error:
            raise DataError(f"{path}:{number}: expected a memory as a JSON object: {error}") from error
    return memories


class Conversations:
    """Initial banks by conversation id, embedded when first asked for and never changed.

    Args:
        memories_dir: holds ``{sample_id}.jsonl``, as preprocessing writes it.
        embedder: embeds the initial memories.

    Raises:
        FieldError: ``memories_dir`` is not a directory.
    """

    def __init__(self, memories_dir: Path, embedder: Embedder) -> None:
        if not memories_dir.is_dir():
            raise FieldError("memories_dir", str(memories_dir), "a directory that preprocess_locomo wrote")
        self._memories_dir = memories_dir
        self._embedder = embedder
        self._banks: dict[str, MemoryBank] = {}

    def fork(self, sample_id: str) -> MemoryBank:
        """A bank of its own that starts from the conversation's memories.

        Raises:
            FieldError: there is no such conversation.
            DataError: its file is broken.
        """
        if sample_id not in self._banks:
            self._banks[sample_id] = self._load(sample_id)
        return self._banks[sample_id].fork()

    def _load(self, sample_id: str) -> MemoryBank:
        known = sorted(path.stem for path in self._memories_dir.glob("*.jsonl"))
        if sample_id not in known:  # also keeps a path such as "../x" out
            raise FieldError("sample_id", sample_id, f"a conversation in {self._memories_dir}: {', '.join(known)}")
        started = time.perf_counter()
        bank = MemoryBank.from_memories(read_memories(self._memories_dir / f"{sample_id}.jsonl"), self._embedder)
        logger.info("loaded %s: %d memories in %.2f s", sample_id, len(bank), time.perf_counter() - started)
        return bank
