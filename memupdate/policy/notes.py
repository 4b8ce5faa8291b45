"""How a demonstration writes a note of a turn. Every choice is random: reinforcement learning finds which note pays."""

from __future__ import annotations

import random
import re

from memupdate.policy.dates import read_day, resolved, said
from memupdate.policy.sessions import ShownSession

# What of a turn is copied: the line; its first sentence; its end, from a random word on; the line and the one after it,
# which is how an answer keeps its question.
SPAN_SHARES = {"line": 0.35, "sentence": 0.25, "end": 0.2, "pair": 0.2}
# How often the day stands before the note.
DATED_SHARE = 0.15
# Of notes of a turn with a relative date: how often the note says the day.
RESOLVED_SHARE = 0.5
# A note of fewer words says nothing.
LEAST_WORDS = 3

_FIRST_SENTENCE = re.compile(r".*?[.!?](?= )")


class NoteWriter:
    """Writes notes.

    Args:
        source: of all random choices.
    """

    def __init__(self, source: random.Random) -> None:
        self._random = source

    def write(self, session: ShownSession, place: int) -> str:
        """Returns a note of the turn at a place of a session.

        It has no quotes: in a call they would be escaped, and could not be copied.
        """
        day = read_day(session.date)
        kind = self._random.choices(list(SPAN_SHARES), list(SPAN_SHARES.values()))[0]
        turns = session.turns[place : place + 2] if kind == "pair" else session.turns[place : place + 1]
        note = "\n".join(f"{turn.speaker}: {self._said(turn.text, kind)}" for turn in turns)
        if day and self._random.random() < RESOLVED_SHARE:
            note = resolved(note, day)
        return f"{said(day)}, {note}" if day and self._random.random() < DATED_SHARE else note

    def _said(self, text: str, kind: str) -> str:
        """Returns what a note keeps of the text of a turn."""
        text = text.replace('"', "").replace("\\", "")
        if kind == "sentence" and (first := _FIRST_SENTENCE.match(text)):
            return first[0]
        words = text.split(" ")
        if kind == "end" and len(words) > LEAST_WORDS:
            return " ".join(words[self._random.randint(1, len(words) - LEAST_WORDS) :])
        return text
