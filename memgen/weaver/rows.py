"""Examples as woven streams: the rows that MemGen's weaver is trained on."""

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
    """Returns a row for each turn of the assistant, with latents on the published schedule of supervised data.

    Args:
        examples: conversations.
        tokenizer: the model's tokenizer, which knows the reserved tokens.
        rules: the model's rules.
        prefix: the model's ``generation_prefix_ids``, by which the trainer finds a prompt's end.
        max_length: the most items that a stream may have.

    Raises:
        FieldError: a stream that is too long, a reserved id in a text, or a text that writes the prefix itself.
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
    """Returns a row's text alone."""
    pairs = zip(row.input_ids, row.loss_mask, strict=True)
    text = [(token, learnt) for token, learnt in pairs if token not in rules.reserved.places]
    return TrainingRow([token for token, _ in text], [learnt for _, learnt in text])


def _check_prefix(segment: Segment, prefix: list[int], place: str) -> None:
    """Refuses a text that writes the prefix: the trainer finds the prompt's end, and the turn, by its occurrences."""
    ids, width = [*segment.prompt, *segment.response], len(prefix)
    ends = [start + width for start in range(len(ids) - width + 1) if ids[start : start + width] == prefix]
    if len(ends) != segment.turn + 1 or ends[-1] != len(segment.prompt):
        raise FieldError(
            place,
            f"{len(ends)} openings of an assistant's turn before or in turn {segment.turn}",
            f"{segment.turn + 1}: one for each turn so far, written by the chat template and never by a text",
        )
