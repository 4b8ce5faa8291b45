"""The rows of supervised training. They are written to a file once, before verl's SFT trainer starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from memgen.base.chat import turns_of
from memgen.data.examples import Example
from memgen.data.tables import RowFiles
from memupdate.errors import FieldError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("loss_mask", pa.list_(pa.int8()))])


@dataclass(frozen=True)
class TrainingRow:
    """One assistant turn.

    Attributes:
        input_ids: ids of the prompt and of the response.
        loss_mask: 1 for each id that is learnt, else 0.
    """

    input_ids: list[int]
    loss_mask: list[int]


ROWS = RowFiles(TrainingRow, SCHEMA, "rows of training")


def text_rows(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[TrainingRow]:
    """Returns one row of text for each assistant turn. The ids of the response are learnt, those of the prompt are not.

    Raises:
        FieldError: a turn and its prompt together have more than ``max_length`` ids.
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
    """Checks the length of a row.

    Args:
        ids: ids of the row.
        max_length: maximum number of ids.
        place: file and line, for the error message.

    Raises:
        FieldError: ``ids`` has more than ``max_length`` ids.
    """
    if len(ids) > max_length:
        raise FieldError("dataset.max_length", max_length, f"at least {len(ids)} for {place}")
