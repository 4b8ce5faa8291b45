"""Reads supervised examples from local JSON lines into chat messages."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memupdate.errors import DataError, FieldError

ROLES = ("system", "user", "assistant")
GSM8K_TASK = "Solve the problem step by step and put the final answer, a number alone, in \\boxed{}."
# GSM8K marks what a calculator may compute, <<48/2=24>>, beside the text that says it.
_CALCULATOR = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True)
class Example:
    """A conversation to learn from.

    Attributes:
        messages: dictionaries of ``role`` and ``content``; every assistant's turn is learnt.
        place: file and line, for messages to the user.
    """

    messages: tuple[dict[str, str], ...]
    place: str

    @property
    def prompt(self) -> tuple[dict[str, str], ...]:
        """The messages before the last assistant's turn."""
        last = max(index for index, message in enumerate(self.messages) if message["role"] == "assistant")
        return self.messages[:last]

    @property
    def reference(self) -> str:
        """The last assistant's turn."""
        return [message["content"] for message in self.messages if message["role"] == "assistant"][-1]


def read_examples(path: Path, data_format: str, limit: int | None = None) -> list[Example]:
    """Reads a file of one JSON object a line; nothing is downloaded.

    Args:
        path: the file.
        data_format: ``instruction``, ``conversation`` or ``gsm8k``.
        limit: examples at most.

    Raises:
        FieldError: another format.
        DataError: no such file, or a line of another shape, by number.
    """
    if data_format not in READERS:
        raise FieldError("dataset.format", data_format, ", ".join(READERS))
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a file of JSON lines: {error}") from error
    found: list[Example] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (limit is not None and len(found) == limit):
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{place}: no JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{place}: expected a JSON object, found {type(row).__name__}")
        found.append(Example(tuple(READERS[data_format](row, place)), place))
    if not found:
        raise DataError(f"{path}: no examples; expected at least one line")
    return found


def split_examples(examples: list[Example], valid_ratio: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples; the same for the same seed. An example that repeats stays on one side.

    Raises:
        FieldError: one of the sides would be empty.
    """
    if valid_ratio == 0:
        return examples, []
    distinct = sorted({json.dumps(example.messages) for example in examples})
    random.Random(seed).shuffle(distinct)
    held_out = set(distinct[: round(len(distinct) * valid_ratio)])
    train = [example for example in examples if json.dumps(example.messages) not in held_out]
    valid = [example for example in examples if json.dumps(example.messages) in held_out]
    if not train or not valid:
        raise FieldError("dataset.valid_ratio", valid_ratio, f"a share of {len(distinct)} examples that leaves both")
    return train, valid


def _text(row: Mapping[str, Any], key: str, place: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key}: expected a text that is not empty, found {value!r:.80}")
    return value


def _instruction(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": _text(row, "prompt", place)},
        {"role": "assistant", "content": _text(row, "completion", place)},
    ]


def _conversation(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise DataError(f"{place}: messages: expected a list of objects with role and content")
    for number, message in enumerate(messages):
        if message.get("role") not in ROLES:
            raise DataError(
                f"{place}: messages[{number}].role: expected one of {', '.join(ROLES)}, found {message.get('role')!r}"
            )
    if not any(message["role"] == "assistant" for message in messages[1:]):
        raise DataError(f"{place}: messages: expected at least one of the assistant, after another's")
    return [
        {"role": message["role"], "content": _text(message, "content", f"{place}: messages[{number}]")}
        for number, message in enumerate(messages)
    ]


def _gsm8k(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    rationale, marker, answer = _text(row, "answer", place).rpartition("####")
    if not marker:
        raise DataError(f"{place}: answer: expected a rationale and '#### answer'")
    completion = f"{_CALCULATOR.sub('', rationale).strip()}\n\\boxed{{{answer.strip()}}}"
    return [
        {"role": "user", "content": f"{GSM8K_TASK}\n{_text(row, 'question', place)}"},
        {"role": "assistant", "content": completion},
    ]


READERS: dict[str, Callable[[Mapping[str, Any], str], list[dict[str, str]]]] = {
    "instruction": _instruction,
    "conversation": _conversation,
    "gsm8k": _gsm8k,
}
