"""Reads examples from local files of JSON lines as chat messages."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from memgen.data.formats import FORMATS
from memupdate.errors import DataError, FieldError


@dataclass(frozen=True)
class Example:
    """A conversation to train on or to answer.

    Attributes:
        messages: dictionaries with ``role`` and ``content``. Supervised training learns every assistant turn.
        place: file and line, for error messages.
    """

    messages: tuple[dict[str, str], ...]
    place: str

    @property
    def prompt(self) -> tuple[dict[str, str], ...]:
        """Messages before the last assistant turn."""
        last = max(index for index, message in enumerate(self.messages) if message["role"] == "assistant")
        return self.messages[:last]

    @property
    def reference(self) -> str:
        """Text of the last assistant turn."""
        return [message["content"] for message in self.messages if message["role"] == "assistant"][-1]


def read_examples(path: Path, data_format: str, limit: int | None = None) -> list[Example]:
    """Reads examples from a local file with one JSON object per line. Empty lines are skipped.

    Args:
        path: the file.
        data_format: name of the format in :data:`memgen.data.formats.FORMATS`.
        limit: maximum number of examples; None reads all.

    Raises:
        FieldError: no format has this name.
        DataError: the file cannot be read or holds no examples, or a line does not have this format. The message names
            the line.
    """
    messages_of = FORMATS.load(data_format).messages
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
            raise DataError(f"{place}: not valid JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataError(f"{place}: expected a JSON object, found {type(row).__name__}")
        found.append(Example(tuple(messages_of(row, place)), place))
    if not found:
        raise DataError(f"{path}: no examples; expected at least one line")
    return found


def split_examples(examples: list[Example], valid_ratio: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Splits examples into training examples and held-out examples. The same seed always gives the same split.

    Repeated examples stay on the same side.

    Args:
        examples: the examples.
        valid_ratio: share of the distinct examples that is held out. 0 holds out none.
        seed: random seed of the split.

    Returns:
        The training examples and the held-out examples.

    Raises:
        FieldError: ``valid_ratio`` is not 0 and one of the sides would be empty.
    """
    if valid_ratio == 0:
        return examples, []
    distinct = sorted({json.dumps(example.messages) for example in examples})
    random.Random(seed).shuffle(distinct)
    held_out = set(distinct[: round(len(distinct) * valid_ratio)])
    train = [example for example in examples if json.dumps(example.messages) not in held_out]
    valid = [example for example in examples if json.dumps(example.messages) in held_out]
    if not train or not valid:
        raise FieldError(
            "dataset.valid_ratio", valid_ratio, f"a share of {len(distinct)} examples that leaves one or more per side"
        )
    return train, valid
