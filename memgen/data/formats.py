"""The formats of data files: the base class of a format, and the table of formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from memupdate.errors import DataError
from memupdate.tables import Table


class DatasetFormat(ABC):
    """The base class of formats. A format turns one JSON object into chat messages.

    Attributes:
        reward: name of the reward in :data:`memgen.tasks.REWARDS` that is used if ``dataset.reward`` is not set.
    """

    reward: ClassVar[str]

    @staticmethod
    @abstractmethod
    def messages(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        """Returns messages with ``role`` and ``content``. At least one assistant message must follow another message.

        Args:
            row: the JSON object of a line.
            place: file and line, for error messages.

        Raises:
            DataError: the object does not have this format.
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
    """Returns the text of ``key`` in ``row``.

    Args:
        row: the JSON object of a line.
        key: the key.
        place: file and line, for the error message.

    Raises:
        DataError: the key is missing, or its value is not a text or is blank.
    """
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key}: expected a text that is not empty, found {value!r:.80}")
    return value
