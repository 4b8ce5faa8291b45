"""The format ``conversation``: an object with ``messages``, a list of objects with ``role`` and ``content``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from memgen.data.formats import DatasetFormat, text_of
from memupdate.errors import DataError

ROLES = ("system", "user", "assistant")


class Conversation(DatasetFormat):
    """A conversation of any number of turns."""

    reward: ClassVar[str] = "exact"

    @staticmethod
    def messages(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        """Returns the messages, see :meth:`memgen.data.formats.DatasetFormat.messages`."""
        messages = row.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise DataError(f"{place}: messages: expected a list of objects with role and content")
        for number, message in enumerate(messages):
            if message.get("role") not in ROLES:
                found = message.get("role")
                raise DataError(
                    f"{place}: messages[{number}].role: expected one of {', '.join(ROLES)}, found {found!r}"
                )
        if not any(message["role"] == "assistant" for message in messages[1:]):
            raise DataError(f"{place}: messages: expected at least one assistant message after another message")
        return [
            {"role": message["role"], "content": text_of(message, "content", f"{place}: messages[{number}]")}
            for number, message in enumerate(messages)
        ]
