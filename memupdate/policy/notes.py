"""How a demonstration writes a note of a turn. Every choice is random: reinforcement learning finds which note pays."""

from __future__ import annotations

import random

from memupdate.policy.dates import read_day, resolved, said
from memupdate.policy.sessions import ShownSession, ShownTurn

# The line as it stands; its end, from a random word on; the line with the day before it.
FORM_SHARES = {"line": 0.6, "end": 0.25, "dated": 0.15}
# Of notes of a turn with a relative date: how often the note says the day.
RESOLVED_SHARE = 0.5
# A note of fewer words says nothing.
LEAST_WORDS = 3


class NoteWriter:
    """Writes notes.

    Args:
        source: of all random choices.
    """

    def __init__(self, source: random.Random) -> None:
        self._random = source

    def write(self, session: ShownSession, turn: ShownTurn) -> str:
        """Returns a note of one turn of a session.

        It has no quotes: in a call they would be escaped, and could not be copied.
        """
        text = turn.text.replace('"', "").replace("\\", "")
        day = read_day(session.date)
        if day and self._random.random() < RESOLVED_SHARE:
            text = resolved(text, day)
        form = self._random.choices(list(FORM_SHARES), list(FORM_SHARES.values()))[0]
        words = text.split(" ")
        if form == "end" and len(words) > LEAST_WORDS:
            text = " ".join(words[self._random.randint(1, len(words) - LEAST_WORDS) :])
        if form == "dated" and day:
            return f"{said(day)}, {turn.speaker}: {text}"
        return f"{turn.speaker}: {text}"
