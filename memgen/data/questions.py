"""The questions of reinforcement learning: the messages of a prompt, and the reference answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from memgen.data.examples import Example
from memgen.data.tables import RowFiles

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


QUESTIONS = RowFiles(Question, SCHEMA, "questions")


def questions_of(examples: Iterable[Example]) -> list[Question]:
    """Returns one question for each conversation. The reference is the last assistant turn."""
    return [Question([dict(message) for message in one.prompt], one.reference) for one in examples]
