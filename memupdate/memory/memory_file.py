"""Memories as a file: JSON lines, one memory per line, in order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from memupdate.errors import DataError, FieldError
from memupdate.memory.record import Memory


def write_memories(path: Path, memories: Sequence[Memory]) -> None:
    """Writes memories to a file that ``read_memories`` reads.

    Raises:
        OSError: the file cannot be written.
    """
    lines = (json.dumps(memory.to_json(), ensure_ascii=False) + "\n" for memory in memories)
    path.write_text("".join(lines), encoding="utf-8")


def read_memories(path: Path) -> list[Memory]:
    """Returns the memories in a file, in order.

    Raises:
        DataError: the file cannot be read, or a line is not a memory. The error names the file and the line.
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
        except (ValueError, RecursionError, FieldError) as error:
            raise DataError(f"{path}:{number}: expected a memory as one complete JSON object: {error}") from error
    return memories
