"""Copying drills for session episodes: short sessions of words that occur nowhere, some of whose lines are copied.

What a held-out conversation speaks of was never seen in training. A policy that has copied only known words would write
known words. Half of the words of these drills are invented, so they can only be copied, piece by piece.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from memupdate.policy.dates import MONTHS, NUMBERS
from memupdate.policy.disguise import invented_word
from memupdate.policy.notes import NoteWriter
from memupdate.policy.sessions import read_session
from memupdate.policy.trajectories import Message, tool_call

TURNS = (3, 8)
WORDS = (3, 10)
INVENTED_SHARE = 0.4
RELATIVE_SHARE = 0.3
RELATIVE = (
    *(
        "yesterday",
        "yesterday",
        "yesterday",
        "today",
        "tomorrow",
        "last week",
        "last week",
        "last month",
        "last Friday",
    ),
    *(f"{number} days ago" for number in NUMBERS),
)
HITS = 3
EDIT_SHARE = 0.3


class SessionDrills:
    """Draws random drills.

    Args:
        words: the words that drills are made of, beside invented ones.
        ids: the memory ids that can occur.
        source: of all random choices.
    """

    def __init__(self, words: list[str], ids: Sequence[str], source: random.Random) -> None:
        self._words = words
        self._ids = ids
        self._random = source
        self._writer = NoteWriter(source)

    def draw(self) -> list[Message]:
        """Returns a session as a user message, and calls that copy several of its lines."""
        names = [invented_word(self._random).capitalize() for _ in range(2)]
        lines = [f"{self._random.choice(names)}: {self._text()}" for _ in range(self._random.randint(*TURNS))]
        date = f"{self._random.randint(1, 12)}:{self._random.randint(0, 59):02d} {self._random.choice(('am', 'pm'))}"
        day = f"{self._random.randint(1, 28)} {self._random.choice(MONTHS)}, {self._random.randint(2020, 2025)}"
        first = f"Session {self._random.randint(1, 30)}, {date} on {day}"
        session = read_session("\n".join([first, *lines]))
        messages = [{"role": "user", "content": "\n".join([first, *lines])}]
        if self._random.random() < EDIT_SHARE:
            messages += self._edit(self._writer.write(session, self._random.randrange(len(session.turns))))
        count = self._random.randint(2, len(session.turns))
        chosen = sorted(self._random.sample(range(len(session.turns)), count))
        notes = [self._writer.write(session, place) for place in chosen]
        calls = [tool_call("manage_memory", {"operation": "create", "content": note}) for note in notes]
        return [*messages, {"role": "assistant", "content": "\n".join(calls)}]

    def _edit(self, note: str) -> list[Message]:
        """Returns a search, hits, and an edit of the first hit."""
        shown = self._random.sample(self._ids, HITS)
        scores = sorted((self._random.random() for _ in shown), reverse=True)
        hits = "\n".join(f"[{i}] {score:.2f} {self._text()}" for i, score in zip(shown, scores, strict=True))
        kind = self._random.random()
        if kind < 0.6:
            edit = tool_call("manage_memory", {"operation": "update", "memory_id": shown[0], "content": note})
        elif kind < 0.85:
            edit = tool_call("delete_memory", {"memory_id": shown[0]})
        else:
            edit = tool_call("merge_memory", {"memory_ids": shown[:2], "strategy": "concatenate"})
        return [
            {"role": "assistant", "content": tool_call("search_memory", {"query": note})},
            {"role": "tool", "content": hits},
            {"role": "assistant", "content": edit},
            {"role": "tool", "content": f"Done [{shown[0]}]."},
        ]

    def _text(self) -> str:
        words = [self._word() for _ in range(self._random.randint(*WORDS))]
        if self._random.random() < RELATIVE_SHARE:
            words[self._random.randrange(len(words))] = self._random.choice(RELATIVE)
        for place in range(len(words) - 1):
            if self._random.random() < 0.06:
                words[place] += self._random.choice(",:")
        return " ".join(words) + self._random.choice((".", ".", "!", "?", ""))

    def _word(self) -> str:
        if self._random.random() < INVENTED_SHARE:
            return invented_word(self._random)
        return self._random.choice(self._words)
