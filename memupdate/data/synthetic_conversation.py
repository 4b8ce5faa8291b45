"""Writes one generated conversation: turns from a plan, small talk between them, and imperfect observations.

The observations become the memories that a bank starts with. They are imperfect on purpose: an editor of the bank then
has something to write, to update, to drop and to resolve.
"""

from __future__ import annotations

import datetime
import random
from typing import Any

from memupdate.data.synthetic_dates import session_times, spoken_time
from memupdate.data.synthetic_plan import Plan, Planner, Statement
from memupdate.data.synthetic_words import Words

# Of what is said, this share is in no observation: there is something to write that only the turns hold.
MISSING = 0.25
# Of the observed statements, this share is observed twice in other words: there is something to drop. What a speaker
# repeats in a later session comes on top.
TWICE = 0.15
# Of the asides, this share is observed, as in LoCoMo: memories that no question needs.
ASIDES_OBSERVED = 0.2
# Of the turns, about this share is small talk: who writes down every turn stores much that is worth nothing.
SMALL_TALK = 0.4
# Of the turns that say something, this share also has a sentence that says nothing: LoCoMo's turns are two to three
# times as long as its observations, so that to store turns is dear.
FILLED = 0.8
# Turns of a session: what a tiny model can read, about 100 to 250 words.
TURNS = (8, 14)


class Author:
    """Writes one conversation.

    Args:
        sample_id: its name.
        split: "train" or "test".
        words: the pool of its split.
        sessions: how many sessions.
        parity: of the days that are answers.
        chance: makes all choices.
    """

    def __init__(
        self, sample_id: str, split: str, words: Words, *, sessions: int, parity: int, chance: random.Random
    ) -> None:
        self._sample_id = sample_id
        self._split = split
        self._words = words
        self._chance = chance
        first, second = chance.sample(words.names, 2)
        self._speakers = first, second
        self._times = session_times(chance, sessions)
        self._plan: Plan = Planner(words, self._speakers, self._times, parity, chance).plan()
        self._asides = chance.sample(words.asides, len(words.asides))
        # What the observations of a session say of a speaker: [fact, dialog id].
        self._observed: dict[tuple[int, str], list[list[str]]] = {}

    def sample(self) -> dict[str, Any]:
        """Returns the conversation as an element of a LoCoMo file, with its split."""
        talk: dict[str, Any] = {"speaker_a": self._speakers[0], "speaker_b": self._speakers[1]}
        for number, time in enumerate(self._times, 1):
            talk[f"session_{number}_date_time"] = spoken_time(time)
            talk[f"session_{number}"] = self._session(number)
        return {
            "sample_id": self._sample_id,
            "split": self._split,
            "qa": [self._question(position) for position in range(len(self._plan.asked))],
            "conversation": talk,
            "event_summary": {},
            "observation": {
                f"session_{number}_observation": {
                    speaker: self._observed.get((number, speaker), []) for speaker in self._speakers
                }
                for number in range(1, len(self._times) + 1)
            },
            "session_summary": {
                f"session_{number}_summary": self._summary(time) for number, time in enumerate(self._times, 1)
            },
        }

    def _question(self, position: int) -> dict[str, Any]:
        asked = self._plan.asked[position]
        answer = "adversarial_answer" if asked.category == 5 else "answer"
        return {
            "question": asked.question,
            answer: asked.answer,
            "evidence": [statement.dialog_id for statement in asked.support],
            "category": asked.category,
        }

    def _summary(self, time: datetime.datetime) -> str:
        return f"{self._speakers[0]} and {self._speakers[1]} talked at {spoken_time(time)}."

    def _session(self, number: int) -> list[dict[str, str]]:
        said = [statement for statement in self._plan.statements if statement.session == number]
        self._chance.shuffle(said)
        filled = len(said) + sum(bool(statement.asked) for statement in said)
        wanted = round(filled / (1 - SMALL_TALK)) + self._chance.randint(-1, 1)
        chat = max(min(max(wanted, TURNS[0]), TURNS[1]) - filled, 1)
        # None stands for small talk. It opens the session, and what is left of it goes anywhere.
        slots: list[Statement | None] = list(said)
        for _ in range(chat - 1):
            slots.insert(self._chance.randint(0, len(slots)), None)
        greeter, greeted = self._chance.sample(self._speakers, 2)
        greeting = self._chance.choice(self._words.greetings).format(name=greeted)
        turns = [{"speaker": greeter, "dia_id": f"D{number}:1", "text": greeting}]
        for statement in slots:
            if statement is not None and statement.asked:
                asker = self._speakers[1 - self._speakers.index(statement.speaker)]
                turns.append({"speaker": asker, "dia_id": f"D{number}:{len(turns) + 1}", "text": statement.asked})
            dialog_id = f"D{number}:{len(turns) + 1}"
            if statement is None:
                speaker, text = self._small_talk(turns[-1]["speaker"], number, dialog_id)
            else:
                speaker, text = statement.speaker, self._filled(statement)
                statement.dialog_id = dialog_id
                self._observe(statement)
            turns.append({"speaker": speaker, "dia_id": dialog_id, "text": text})
        return turns

    def _filled(self, statement: Statement) -> str:
        """Returns what is said, most often with a sentence that says nothing."""
        if self._chance.random() >= FILLED:
            return statement.turn
        filler = self._chance.choice(self._words.fillers)
        # An answer follows its question at once.
        if statement.asked or self._chance.random() < 0.5:
            return f"{statement.turn} {filler}"
        return f"{filler} {statement.turn}"

    def _small_talk(self, last: str, session: int, dialog_id: str) -> tuple[str, str]:
        """Returns who talks and what is said: an answer to the last speaker, or an aside, each once."""
        speaker = self._speakers[1 - self._speakers.index(last)]
        if not self._asides or self._chance.random() < 0.6:
            reply = self._chance.choice(self._words.replies).format(name=last)
            filler = self._chance.choice(self._words.fillers)
            return speaker, f"{reply} {filler}" if self._chance.random() < 0.5 else reply
        turn, fact = self._asides.pop()
        noun = self._chance.choice(self._plan.nouns[speaker])
        if self._chance.random() < ASIDES_OBSERVED:
            self._note(session, speaker, fact.format(name=speaker, noun=noun), dialog_id)
        return speaker, turn.format(noun=noun)

    def _observe(self, statement: Statement) -> None:
        if self._chance.random() < MISSING:
            return
        times = 2 if self._chance.random() < TWICE else 1
        for fact in statement.facts[:times]:
            self._note(statement.session, statement.speaker, fact, statement.dialog_id)

    def _note(self, session: int, speaker: str, fact: str, dialog_id: str) -> None:
        self._observed.setdefault((session, speaker), []).append([fact, dialog_id])
