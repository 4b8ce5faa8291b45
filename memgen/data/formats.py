"""What a line of a data file may hold: the contract of a format, and the table of formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from memupdate.errors import DataError
from memupdate.tables import Table


class DatasetFormat(ABC):
    """Turns one JSON object into chat messages.

    Attributes:
        reward: what an answer is worth where ``dataset.reward`` does not say, a name of :data:`memgen.tasks.REWARDS`.
    """

    reward: ClassVar[str]

    @staticmethod
    @abstractmethod
    def messages(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        """Returns messages of ``role`` and ``content``, at least one of them the assistant's after another's.

        Args:
            row: the line's JSON object.
            place: file and line, for error messages.

        Raises:
            DataError: the object has another shape.
        """


FORMATS: Table[type[DatasetFormat]] = Table(
    "memgen.datasets",
    "dataset.format",
    {
        "instruction": "memgen.data.instruction:Instruction",
        "conversation": "memgen.data.conversation:Conversation",
        "gsm8k": "memgen.data.gsm8k:Gsm8k",
    },
)


def text_of(row: Mapping[str, Any], key: str, place: str) -> str:
    """Returns the text under ``key``.

    Raises:
        DataError: the key is missing, or its value is no text or an empty one.
    """
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key}: expected a text that is not empty, found {value!r:.80}")
    return value
