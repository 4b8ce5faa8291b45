"""The session that a prompt shows: its date and its turns, read back from the user message of a session episode."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memupdate.errors import DataError

_FIRST_LINE = re.compile(r"Session (\d+)(?:, (.+))?")
_TURN = re.compile(r"([^:\n]+): (.+)")


@dataclass(frozen=True, slots=True)
class ShownTurn:
    """A line of the prompt.

    Attributes:
        speaker: who speaks.
        text: what is said, with the caption of an image behind it.
    """

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class ShownSession:
    """What the user message of a session episode shows.

    Attributes:
        number: the session's number in its conversation.
        date: when it took place, as the data says it (``"1:56 pm on 8 May, 2023"``); "" if it does not.
        turns: the turns shown, in order.
    """

    number: int
    date: str
    turns: tuple[ShownTurn, ...]


def read_session(message: str) -> ShownSession:
    """Reads the user message of a session episode.

    Raises:
        DataError: the first line does not name a session, or no line is a turn.
    """
    first, *lines = message.split("\n")
    head = _FIRST_LINE.fullmatch(first)
    turns = tuple(ShownTurn(found[1], found[2]) for line in lines if (found := _TURN.fullmatch(line)))
    if head is None or not turns:
        raise DataError(f"{message[:80]!r}: expected 'Session 5, 1:56 pm on 8 May, 2023' and lines 'speaker: text'")
    return ShownSession(int(head[1]), head[2] or "", turns)
