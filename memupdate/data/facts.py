"""Initial memories: one per observation fact, written once per conversation and never copied into rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from memupdate.data.conversation import Conversation
from memupdate.data.layout import memories_path
from memupdate.errors import DataError, FieldError
from memupdate.memory import Memory


def initial_memories(conversation: Conversation) -> list[Memory]:
    """The bank that a trajectory of ``conversation`` starts from: ids m1, m2, … in the order of the facts.

    Facts carry no dates, and most temporal answers can only be found with the session's date, so each memory has it.

    Raises:
        DataError: if a fact is longer than a memory may be.
    """
    memories = []
    for number, fact in enumerate(conversation.facts, 1):
        try:
            memory = Memory(
                id=f"m{number}",
                content=fact.text,
                memory_type="episodic",
                speaker=fact.speaker,
                session=fact.session,
                session_date=conversation.session_date(fact.session),
                evidence=fact.evidence.ids,
                source=f"{conversation.sample_id}/session_{fact.session}",
            )
        except FieldError as error:
            place = f"{conversation.sample_id}, session {fact.session}, fact {number}"
            raise DataError(f"{place}: expected what a memory can hold: {error}") from error
        memories.append(memory)
    return memories


def write_memories(path: Path, memories: Sequence[Memory]) -> None:
    """Write memories as JSON lines, in order."""
    lines = (json.dumps(memory.to_json(), ensure_ascii=False) + "\n" for memory in memories)
    path.write_text("".join(lines), encoding="utf-8")


def read_memories(directory: Path | str, sample_id: str) -> list[Memory]:
    """The initial memories of a conversation from a preprocessed directory.

    Raises:
        DataError: if the file is missing, a line is no memory, or the ids are not m1 to mN in order.
    """
    path = memories_path(directory, sample_id)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected the memories of {sample_id!r} as JSON lines: {error}") from error
    if not lines[-1]:
        lines.pop()
    memories = []
    for number, line in enumerate(lines, 1):
        place = f"line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: {place}: expected one complete JSON object: {error}") from error
        try:
            memory = Memory.from_json(value)
        except FieldError as error:
            raise DataError(f"{path}: {place}: expected a memory: {error}") from error
        if memory.id != f"m{number}":
            raise DataError(f"{path}: {place}: expected the id 'm{number}', got {memory.id!r}")
        memories.append(memory)
    return memories
