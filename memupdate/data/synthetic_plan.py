"""What is said in a generated conversation, by whom and in which session, before it has turns.

A thread is what a person says about one thing over the sessions: a value that is told, replaced and repeated; the items
of a growing list; an event. Each thread has one question at most.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from memupdate.data.synthetic_dates import relative_date
from memupdate.data.synthetic_words import ATTRIBUTES, TOPICS, VERBS, Frames, Words

# Values that both have are distractors for each other. Of those that one has, the other is asked in vain.
SHARED_ATTRIBUTES = 3
SINGLE_ATTRIBUTES = (2, 3)
# The first topic is both speakers', with items of their own.
LISTS = 3
LIST_ITEMS = (3, 4)
# What happens to a value after it was told. Half of the values are replaced, some of them twice; a quarter is repeated.
# The others can be asked for from the session on in which they are told.
HISTORIES = ("", "", "", "repeat", "change", "change", "change repeat", "change change")
# Of the items of a list, this share is repeated in a later session.
REPEATED_ITEMS = 0.25
# Among so many choices of sessions, the one that fills the emptiest is taken.
DRAWS = 6
ADVERSARIAL = (1, 2)
# Of what is new, this share is an answer that says nothing without the question before it: a stored turn is not yet a
# memory.
IN_DIALOGUE = 0.3


@dataclass(slots=True)
class Statement:
    """One thing that is said.

    Attributes:
        speaker: who says it, and whom it is about.
        session: in which session.
        turn: what is said.
        asked: what the other speaker asks right before; "" for nothing.
        facts: how an observation may say it; the first frame of a shuffled list, then others.
        kind: "new", "change" or "repeat".
        dialog_id: the turn's id, once it has one.
    """

    speaker: str
    session: int
    turn: str
    facts: list[str]
    kind: str
    asked: str = ""
    dialog_id: str = ""


@dataclass(slots=True)
class Asked:
    """A question, its answer, its category, and the statements that are its evidence."""

    question: str
    answer: str
    category: int
    support: list[Statement]


@dataclass(slots=True)
class Plan:
    """What is said, and what is asked.

    Attributes:
        statements: everything that is said of facts, in no order inside a session.
        asked: the questions.
        nouns: the kinds of which each speaker has a value.
    """

    statements: list[Statement] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    nouns: dict[str, list[str]] = field(default_factory=dict)


class Planner:
    """Plans one conversation.

    Args:
        words: the pool of its split.
        speakers: the two names.
        times: when each session begins.
        parity: of the days that are answers.
        chance: makes all choices.
    """

    def __init__(
        self,
        words: Words,
        speakers: tuple[str, str],
        times: Sequence[datetime.datetime],
        parity: int,
        chance: random.Random,
    ) -> None:
        self._words = words
        self._speakers = speakers
        self._times = times
        self._parity = parity
        self._chance = chance
        self._load = [0] * len(times)
        self._plan = Plan()

    def plan(self) -> Plan:
        """Returns what is said and asked."""
        self._events()
        self._values()
        self._lists()
        self._chance.shuffle(self._plan.asked)
        return self._plan

    def _sessions(self, count: int) -> list[int]:
        """Returns ``count`` different sessions in order, and prefers those in which little is said.

        They lie in a window that is one session longer, anywhere in the conversation. So some threads end early, and
        there is something to ask after every session.
        """
        last = len(self._times)
        drawn = []
        for _ in range(DRAWS):
            # From 0, so that the first session is in as many windows as the others.
            start = self._chance.randint(0, last - count)
            window = range(max(start, 1), min(start + count, last) + 1)
            drawn.append(sorted(self._chance.sample(window, count)))
        chosen = min(drawn, key=lambda sessions: sum(self._load[session - 1] ** 2 for session in sessions))
        for session in chosen:
            self._load[session - 1] += 1
        return chosen

    def _say(self, speaker: str, session: int, kind: str, frames: Frames, **slots: str) -> Statement:
        facts, dialogues = frames.facts, frames.dialogues
        turns = {"new": frames.turns, "change": frames.changes, "repeat": frames.restated}[kind]
        if kind == "change":
            facts, dialogues = (*frames.changed_facts, *frames.facts), frames.changed_dialogues
        if kind != "repeat" and self._chance.random() < IN_DIALOGUE:
            asked, turn = self._chance.choice(dialogues)
        else:
            asked, turn = "", self._chance.choice(turns)
        said = Statement(
            speaker,
            session,
            turn.format(name=speaker, **slots),
            [frame.format(name=speaker, **slots) for frame in self._chance.sample(facts, len(facts))],
            kind,
            asked.format(name=speaker, **slots),
        )
        self._plan.statements.append(said)
        return said

    def _ask(self, frames: Frames, answer: str, category: int, support: list[Statement], **slots: str) -> None:
        question = self._chance.choice(frames.questions).format(**slots)
        self._plan.asked.append(Asked(question, answer, category, support))

    def _values(self) -> None:
        nouns = self._chance.sample(ATTRIBUTES, SHARED_ATTRIBUTES + self._chance.randint(*SINGLE_ATTRIBUTES))
        alone: list[tuple[str, str, str, Statement]] = []
        for position, noun in enumerate(nouns):
            shared = position < SHARED_ATTRIBUTES
            people = self._speakers if shared else (self._speakers[position % 2],)
            # At most three values each.
            values = self._chance.sample(self._words.values[noun], 3 * len(people))
            for place, speaker in enumerate(people):
                self._plan.nouns.setdefault(speaker, []).append(noun)
                value, newest = self._value(speaker, noun, values[3 * place : 3 * place + 3])
                if not shared:
                    alone.append((noun, self._other(speaker), value, newest))
        for noun, asked, value, newest in self._chance.sample(alone, self._chance.randint(*ADVERSARIAL)):
            self._ask(self._words.attributes, value, 5, [newest], name=asked, noun=noun)

    def _value(self, speaker: str, noun: str, values: list[str]) -> tuple[str, Statement]:
        """Lets a speaker tell a value and what becomes of it. Returns the last value, and where it is told first."""
        frames, value, *later = self._words.attributes, *values
        history = self._chance.choice(HISTORIES).split()[: len(self._times) - 1]
        first, *rest = self._sessions(1 + len(history))
        newest = self._say(speaker, first, "new", frames, noun=noun, value=value)
        for kind, session in zip(history, rest, strict=True):
            old = value
            if kind == "change":
                value = later.pop()
            said = self._say(speaker, session, kind, frames, noun=noun, value=value, old=old)
            newest = said if kind == "change" else newest
        self._ask(frames, value, 4, [newest], name=speaker, noun=noun)
        return value, newest

    def _lists(self) -> None:
        frames, nouns = self._words.lists, self._chance.sample(TOPICS, LISTS - 1)
        drawn = {noun: self._chance.sample(self._words.values[noun], 2 * max(LIST_ITEMS)) for noun in nouns}
        first, second = self._chance.sample(self._speakers, 2)
        for speaker, noun in ((first, nouns[0]), (second, nouns[0]), (first, nouns[1])):
            sessions = self._sessions(min(self._chance.randint(*LIST_ITEMS), len(self._times)))
            items = [drawn[noun].pop() for _ in sessions]
            support = [
                self._say(speaker, session, "new", frames, noun=noun, value=item)
                for item, session in zip(items, sessions, strict=True)
            ]
            for item, session in zip(items, sessions, strict=True):
                if session < len(self._times) and self._chance.random() < REPEATED_ITEMS:
                    again = min(range(session + 1, len(self._times) + 1), key=lambda later: self._load[later - 1])
                    self._load[again - 1] += 1
                    self._say(speaker, again, "repeat", frames, noun=noun, value=item)
            self._ask(frames, ", ".join(items), 1, support, name=speaker, noun=noun)

    def _events(self) -> None:
        frames = self._words.events
        # One in each session, so that each has something to ask; never two of one thing.
        things = [(base, thing) for base, things in self._words.objects.items() for thing in things]
        speakers = self._chance.sample(self._speakers, 2)
        for session, (base, thing) in enumerate(self._chance.sample(things, len(self._times)), 1):
            self._load[session - 1] += 1
            speaker = speakers[session % 2]
            when, answer = relative_date(self._chance, self._times[session - 1], self._parity)
            slots = {"base": base, "past": VERBS[base], "object": thing}
            said = self._say(speaker, session, "new", frames, when=when, **slots)
            self._ask(frames, answer, 2, [said], name=speaker, **slots)

    def _other(self, speaker: str) -> str:
        return self._speakers[1 - self._speakers.index(speaker)]
