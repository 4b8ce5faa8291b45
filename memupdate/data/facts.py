"""Initial memories: one per fact of a conversation. They are stored once per conversation, and not in the rows."""

from __future__ import annotations

from pathlib import Path

from memupdate.data.conversation import Conversation
from memupdate.data.layout import memories_path
from memupdate.errors import DataError, FieldError
from memupdate.memory import Memory, read_memories


def initial_memories(conversation: Conversation) -> list[Memory]:
    """Returns the memories that a trajectory of a conversation starts from.

    Their ids are m1, m2, and so on, in the order of the facts. Facts carry no dates, and most temporal answers can only
    be found with the date of the session, so each memory has it.

    Raises:
        DataError: a fact is longer than a memory may be.
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


def read_initial_memories(directory: Path | str, sample_id: str) -> list[Memory]:
    """Reads the initial memories of a conversation from a preprocessed directory.

    Raises:
        DataError: the file cannot be read, a line is not a memory, or the ids are not m1 to mN in order.
    """
    path = memories_path(directory, sample_id)
    memories = read_memories(path)
    for number, memory in enumerate(memories, 1):
        if memory.id != f"m{number}":
            raise DataError(f"{path}:{number}: expected the id 'm{number}', got {memory.id!r}")
    return memories
