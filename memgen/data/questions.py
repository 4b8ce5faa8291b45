"""Questions of reinforcement learning: a prompt's messages, and the reference that an answer is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from memgen.data.examples import Example
from memupdate.errors import DataError

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
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(pa.Table.from_pylist([asdict(question) for question in questions], schema=SCHEMA), partial)
    partial.replace(path)


def read_questions(path: Path) -> list[Question]:
    """Reads what :func:`write_questions` wrote.

    Raises:
        DataError: no such file, or other columns.
    """
    try:
        table = pq.read_table(path, schema=SCHEMA)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected questions: {error}") from error
    return [Question(**row) for row in table.to_pylist()]
