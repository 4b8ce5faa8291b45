"""Questions of reinforcement learning: a prompt's messages, and the reference that an answer is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from memgen.data.examples import Example
from memgen.data.tables import read_table, write_table

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema([("messages", pa.list_(_MESSAGE)), ("reference", pa.string())])


@dataclass(frozen=True)
class Question:
    """The messages before the last turn of the assistant, and that turn."""

    messages: list[dict[str, str]]
    reference: str


def questions_of(examples: Iterable[Example]) -> list[Question]:
    """One question for each conversation: its last turn is asked for."""
    return [Question([dict(message) for message in one.prompt], one.reference) for one in examples]


def write_questions(path: Path, questions: Sequence[Question]) -> None:
    """Writes questions as parquet, whole or not at all."""
    write_table(path, questions, SCHEMA)


def read_questions(path: Path) -> list[Question]:
    """Reads what :func:`write_questions` wrote.

    Raises:
        DataError: no such file, or other columns.
    """
    return [Question(**row) for row in read_table(path, SCHEMA, "questions")]
