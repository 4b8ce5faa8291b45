"""Messages to woven streams: what verl's SFT trainer reads, made once, before any process of the training starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from memgen.data.examples import Example
from memgen.data.tables import read_table, write_table
from memgen.stream import Segment, StreamRules
from memupdate.errors import DataError, FieldError

SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("loss_mask", pa.list_(pa.int8()))])


@dataclass(frozen=True)
class WovenRow:
    """One turn to learn: its stream, and 1 where an id is learnt (the turn's text, never a latent or the prompt)."""

    input_ids: list[int]
    loss_mask: list[int]


def generation_prefix(tokenizer: Any) -> str:
    """The text by which a tokenizer's chat template opens an assistant's turn.

    Raises:
        FieldError: no chat template, or one that opens no turn.
    """
    if tokenizer.chat_template is None:
        raise FieldError("model.reasoner", tokenizer.name_or_path, "a model whose tokenizer has a chat template")
    user = [{"role": "user", "content": "x"}]
    before = tokenizer.apply_chat_template(user, tokenize=False)
    after = tokenizer.apply_chat_template(user, tokenize=False, add_generation_prompt=True)
    prefix = str(after).removeprefix(str(before))
    if not prefix or prefix == after:
        raise FieldError("model.reasoner", tokenizer.name_or_path, "a chat template with a generation prompt")
    return prefix


def segments_of(example: Example, tokenizer: Any) -> list[Segment]:
    """The turns of a conversation: each one's prompt is the clean text before it (no earlier turn's latents).

    Raises:
        DataError: the chat template does not keep the text of a turn, or ends none with ``eos_token``.
    """
    found: list[Segment] = []
    messages = list(example.messages)
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = prompt_ids(tokenizer, messages[:index])
        whole = _encode(tokenizer, tokenizer.apply_chat_template(messages[: index + 1], tokenize=False))
        if whole[: len(prompt)] != prompt:
            raise DataError(
                f"{example.place}: messages[{index}]: the chat template writes another prompt when the reply stands "
                "behind it; training needs one that keeps it"
            )
        response = whole[len(prompt) :]
        if tokenizer.eos_token_id not in response:
            raise DataError(
                f"{example.place}: messages[{index}]: the chat template must end a turn with eos_token "
                f"{tokenizer.eos_token!r}"
            )
        end = response.index(tokenizer.eos_token_id) + 1
        found.append(Segment(tuple(prompt), tuple(response[:end]), len(found)))
    return found


def prompt_ids(tokenizer: Any, messages: Sequence[dict[str, str]]) -> list[int]:
    """Ids of a prompt that ends where the assistant's turn begins."""
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    return _encode(tokenizer, text)


def weave_examples(
    examples: Iterable[Example], tokenizer: Any, rules: StreamRules, prefix: Sequence[int], max_length: int
) -> list[WovenRow]:
    """One row for each turn of the assistant, with latents on the published schedule of supervised data.

    Args:
        examples: conversations.
        tokenizer: the model's, which knows the reserved tokens.
        rules: the model's.
        prefix: its ``generation_prefix_ids``: the trainer finds a prompt's end by them.
        max_length: items of a stream at most.

    Raises:
        FieldError: a stream that is too long, a reserved id in a text, or a text that writes the prefix itself.
        DataError: see :func:`segments_of`.
    """
    rows = []
    for example in examples:
        for segment in segments_of(example, tokenizer):
            _check_prefix(segment, list(prefix), example.place)
            try:
                stream = segment.stream(rules)
            except FieldError as error:
                raise FieldError(f"{example.place}: {error.field}", error.value, error.allowed) from error
            if len(stream) > max_length:
                raise FieldError("dataset.max_length", max_length, f"at least {len(stream)} for {example.place}")
            start = len(segment.prompt)
            mask = [int(token not in rules.reserved.places) for token in stream[start:]]
            rows.append(WovenRow(stream, [0] * start + mask))
    return rows


def write_rows(path: Path, rows: Sequence[WovenRow]) -> None:
    """Writes rows as parquet, whole or not at all."""
    write_table(path, rows, SCHEMA)


def read_rows(path: Path) -> list[WovenRow]:
    """Reads what :func:`write_rows` wrote.

    Raises:
        DataError: no such file, or other columns.
    """
    return [WovenRow(**row) for row in read_table(path, SCHEMA, "woven streams")]


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _check_prefix(segment: Segment, prefix: list[int], place: str) -> None:
    """The trainer takes the last prefix as the prompt's end and their number as the turn."""
    ids, width = [*segment.prompt, *segment.response], len(prefix)
    ends = [start + width for start in range(len(ids) - width + 1) if ids[start : start + width] == prefix]
    if len(ends) != segment.turn + 1 or ends[-1] != len(segment.prompt):
        raise FieldError(
            place,
            f"{len(ends)} openings of an assistant's turn before or in turn {segment.turn}",
            f"{segment.turn + 1}: one for each turn so far, written by the chat template and never by a text",
        )
