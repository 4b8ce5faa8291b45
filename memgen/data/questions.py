"""The questions of reinforcement learning: the messages of a prompt, and the reference answer."""

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
    """A question with its reference answer.

    Attributes:
        messages: the messages before the last assistant turn.
        reference: text of the last assistant turn.
    """

    messages: list[dict[str, str]]
    reference: str


def questions_of(examples: Iterable[Example]) -> list[Question]:
    """Returns one question for each conversation. The reference is the last assistant turn."""
    return [Question([dict(message) for message in one.prompt], one.reference) for one in examples]


def write_questions(path: Path, questions: Sequence[Question]) -> None:
    """Writes questions to a parquet file, atomically."""
    write_table(path, questions, SCHEMA)


def read_questions(path: Path) -> list[Question]:
    """Reads a file that :func:`write_questions` wrote.

    Raises:
        DataError: the file cannot be read, or it has other columns.
    """
    return [Question(**row) for row in read_table(path, SCHEMA, "questions")]
