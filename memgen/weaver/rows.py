"""Converts examples to streams with latents: the rows of the weaver's supervised training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from memgen.base.chat import turns_of
from memgen.data.examples import Example
from memgen.data.rows import TrainingRow, check_length
from memgen.weaver.stream import Segment, StreamRules
from memupdate.errors import FieldError


def weave_examples(
    examples: Iterable[Example],
    tokenizer: PreTrainedTokenizerBase,
    rules: StreamRules,
    prefix: Sequence[int],
    max_length: int,
) -> list[TrainingRow]:
    """Returns one row for each assistant turn, with latents on the published schedule of supervised data.

    Args:
        examples: the conversations.
        tokenizer: the model's tokenizer, including the reserved tokens.
        rules: the model's stream rules.
        prefix: the model's ``generation_prefix_ids``. The trainer uses them to find the end of a prompt.
        max_length: maximum number of items in a stream.

    Raises:
        FieldError: a stream is too long, a text holds a reserved id, or a text itself contains the prefix.
        DataError: see :func:`memgen.base.chat.turns_of`.
    """
    rows = []
    for example in examples:
        for segment in (Segment(*turn) for turn in turns_of(example.messages, tokenizer, example.place)):
            _check_prefix(segment, list(prefix), example.place)
            try:
                stream = segment.stream(rules)
            except FieldError as error:
                raise FieldError(f"{example.place}: {error.field}", error.value, error.allowed) from error
            check_length(stream, max_length, example.place)
            start = len(segment.prompt)
            mask = [int(token not in rules.reserved.places) for token in stream[start:]]
            rows.append(TrainingRow(stream, [0] * start + mask))
    return rows


def without_latents(row: TrainingRow, rules: StreamRules) -> TrainingRow:
    """Returns the row without its latents."""
    pairs = zip(row.input_ids, row.loss_mask, strict=True)
    text = [(token, learnt) for token, learnt in pairs if token not in rules.reserved.places]
    return TrainingRow([token for token, _ in text], [learnt for _, learnt in text])


def _check_prefix(segment: Segment, prefix: list[int], place: str) -> None:
    """Checks that only the chat template writes the prefix.

    The trainer finds the end of the prompt and the turn from the occurrences of the prefix.

    Raises:
        FieldError: a text contains the prefix.
    """
    ids, width = [*segment.prompt, *segment.response], len(prefix)
    ends = [start + width for start in range(len(ids) - width + 1) if ids[start : start + width] == prefix]
    if len(ends) != segment.turn + 1 or ends[-1] != len(segment.prompt):
        raise FieldError(
            place,
            f"{len(ends)} openings of an assistant's turn before or in turn {segment.turn}",
            f"{segment.turn + 1}: one for each turn so far, all of them written by the chat template",
        )
