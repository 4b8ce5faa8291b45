"""The rows of supervised training: what verl's SFT trainer reads, made once, before any process of it starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from memgen.base.chat import turns_of
from memgen.data.examples import Example
from memgen.data.tables import read_table, write_table
from memupdate.errors import FieldError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("loss_mask", pa.list_(pa.int8()))])


@dataclass(frozen=True)
class TrainingRow:
    """One turn of the assistant: its ids behind its prompt, and 1 where an id is learnt."""

    input_ids: list[int]
    loss_mask: list[int]


def text_rows(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[TrainingRow]:
    """Returns a row for each turn of the assistant, of text alone; the turn's ids are learnt, and its prompt is not.

    Raises:
        FieldError: a turn and its prompt have more than ``max_length`` ids.
        DataError: see :func:`memgen.base.chat.turns_of`.
    """
    rows = []
    for example in examples:
        for turn in turns_of(example.messages, tokenizer, example.place):
            ids = [*turn.prompt, *turn.response]
            check_length(ids, max_length, example.place)
            rows.append(TrainingRow(ids, [0] * len(turn.prompt) + [1] * len(turn.response)))
    return rows


def check_length(ids: Sequence[int], max_length: int, place: str) -> None:
    """Refuses a row that is too long.

    Raises:
        FieldError: ``ids`` are more than ``max_length``.
    """
    if len(ids) > max_length:
        raise FieldError("dataset.max_length", max_length, f"at least {len(ids)} for {place}")


def write_rows(path: Path, rows: Sequence[TrainingRow]) -> None:
    """Writes rows as parquet, whole or not at all."""
    write_table(path, rows, SCHEMA)


def read_rows(path: Path) -> list[TrainingRow]:
    """Reads what :func:`write_rows` wrote.

    Raises:
        DataError: there is no such file, or it has other columns.
    """
    return [TrainingRow(**row) for row in read_table(path, SCHEMA, "rows of training")]
