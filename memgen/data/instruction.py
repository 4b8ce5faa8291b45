"""The format ``instruction``: an object with ``prompt`` and ``completion``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from memgen.data.formats import DatasetFormat, text_of


class Instruction(DatasetFormat):
    """One user question and the assistant's answer."""

    reward: ClassVar[str] = "exact"

    @staticmethod
    def messages(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        """Returns the messages, see :meth:`memgen.data.formats.DatasetFormat.messages`."""
        return [
            {"role": "user", "content": text_of(row, "prompt", place)},
            {"role": "assistant", "content": text_of(row, "completion", place)},
        ]
