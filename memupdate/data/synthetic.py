"""The generated dataset: a small corpus in LoCoMo's JSON format, for runs and tests without the real file.

It is built so that it pays to edit the bank. Most questions ask for a list of seven or eight items, and each item is in
a fact of its own. A search finds these facts before any other, but only five of them fit into the top five. So the bank
as it starts supports five of seven or eight items, and merging some of the hits brings the other items into the top
five. ``memupdate synthetic --output FILE --conversations 10 --seed 0`` writes a corpus.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memupdate.checks import check_int_between
from memupdate.data import synthetic_words as words
from memupdate.data.conversation import Conversation
from memupdate.data.locomo import load_locomo
from memupdate.errors import MemupdateError
from memupdate.files import write_output

logger = logging.getLogger(__name__)

SESSIONS = 6
TOPICS_PER_SPEAKER = 4
MAX_CONVERSATIONS = 10_000


@dataclass(slots=True)
class _Statement:
    """A fact and its first-person form. ``dialog_id`` is set when it is placed in a session."""

    speaker: str
    fact: str
    utterance: str
    session: int
    dialog_id: str = ""


def synthetic_corpus(conversations: int = 10, seed: int = 0) -> list[dict[str, Any]]:
    """Generates a corpus of two-speaker conversations.

    Args:
        conversations: how many conversations, from 1 to 10,000.
        seed: of all random choices. Conversation ``n`` depends only on ``seed`` and ``n``, so a longer corpus starts
            with the conversations of a shorter one.

    Returns:
        The JSON value of a LoCoMo file.

    Raises:
        FieldError: the number of conversations is not allowed.
    """
    check_int_between("conversations", conversations, 1, MAX_CONVERSATIONS)
    return [_Author(number, seed).sample() for number in range(1, conversations + 1)]


def load_synthetic(path: Path) -> list[Conversation]:
    """Reads a corpus that ``memupdate synthetic`` wrote. Its file has LoCoMo's format.

    Raises:
        DataError: the file is missing, cut off, or of another shape.
    """
    return load_locomo(path)


class _Author:
    """Writes one conversation."""

    def __init__(self, number: int, seed: int) -> None:
        self.sample_id = f"syn-{number}"
        self.random = random.Random(f"{seed}:{number}")
        # A small pool on purpose: held-out conversations speak of names that a small model has seen.
        first, second = self.random.sample(words.NAMES, 2)
        self.speakers = first, second
        self.dates = self._dates()
        self.statements: list[_Statement] = []
        self.questions: list[tuple[dict[str, Any], list[_Statement]]] = []

    def sample(self) -> dict[str, Any]:
        """Returns the conversation as an element of a LoCoMo file."""
        topics = self.random.sample(words.TOPICS, 2 * TOPICS_PER_SPEAKER)
        for position, topic in enumerate(topics):
            self._list_question(self.speakers[position % 2], self.speakers[1 - position % 2], topic)
        for attribute in self.random.sample(words.ATTRIBUTES, self.random.randint(2, 3)):
            self._attribute_question(attribute)
        for event in self.random.sample(words.EVENTS, self.random.randint(1, 3)):
            self._event_question(event)
        for fact, utterance in self.random.sample(words.ASIDES, self.random.randint(5, 8)):
            self._state(self.random.choice(self.speakers), fact, utterance)
        self._adversarial_questions(topics)
        self.random.shuffle(self.questions)
        talk = self._talk()
        return {
            "sample_id": self.sample_id,
            "qa": [
                {**question, "evidence": [statement.dialog_id for statement in support]}
                for question, support in self.questions
            ],
            "conversation": talk,
            "event_summary": {},
            "observation": self._observation(),
            "session_summary": {
                f"session_{number}_summary": f"{self.speakers[0]} and {self.speakers[1]} talked at {date}."
                for number, date in enumerate(self.dates, 1)
            },
        }

    def _dates(self) -> list[str]:
        day = datetime.datetime(2022, 1, 3, 9) + datetime.timedelta(days=self.random.randrange(300))
        dates = []
        for _ in range(SESSIONS):
            day += datetime.timedelta(days=self.random.randint(9, 70))
            time = day.replace(hour=self.random.randint(8, 21), minute=self.random.randrange(60))
            half = "am" if time.hour < 12 else "pm"
            dates.append(f"{(time.hour - 1) % 12 + 1}:{time.minute:02d} {half} on {time.day} {time:%B}, {time.year}")
        return dates

    def _state(self, speaker: str, fact: str, utterance: str, session: int | None = None, **slots: str) -> _Statement:
        statement = _Statement(
            speaker,
            fact.format(name=speaker, **slots),
            utterance.format(name=speaker, **slots),
            session or self.random.randint(1, SESSIONS),
        )
        self.statements.append(statement)
        return statement

    def _list_question(self, speaker: str, other: str, topic: words.Topic) -> None:
        count = self.random.randint(7, 8)
        items = self.random.sample(topic.items, count)
        frames = self.random.sample(words.FRAMES, count)
        # Every session gets one before any gets a second.
        sessions = [number % SESSIONS + 1 for number in range(count)]
        self.random.shuffle(sessions)
        support = [
            self._state(
                speaker, frame, self.random.choice(words.UTTERANCES), session=session, noun=topic.noun, item=item
            )
            for item, frame, session in zip(items, frames, sessions, strict=True)
        ]
        question = f"What {topic.noun} has {speaker} {topic.participle}?"
        self.questions.append(({"question": question, "answer": ", ".join(items), "category": 1}, support))

    def _attribute_question(self, attribute: words.Attribute) -> None:
        speaker, value = self.random.choice(self.speakers), self.random.choice(attribute.values)
        support = self._state(speaker, attribute.fact, attribute.utterance, value=value)
        question = attribute.question.format(name=speaker)
        self.questions.append(({"question": question, "answer": value, "category": 4}, [support]))

    def _event_question(self, event: words.Event) -> None:
        support = self._state(self.random.choice(self.speakers), event.fact, event.utterance)
        date = self.dates[support.session - 1].split(" on ")[1].replace(",", "")
        question = event.question.format(name=support.speaker)
        self.questions.append(({"question": question, "answer": date, "category": 2}, [support]))

    def _adversarial_questions(self, topics: Sequence[words.Topic]) -> None:
        """Asks one speaker about a list that only the other speaker has."""
        for position in self.random.sample(range(len(topics)), self.random.randint(1, 2)):
            topic, absent = topics[position], self.speakers[1 - position % 2]
            asked, support = self.questions[position]
            question = f"What {topic.noun} has {absent} {topic.participle}?"
            wrong = {"question": question, "adversarial_answer": asked["answer"], "category": 5}
            self.questions.append((wrong, support))

    def _talk(self) -> dict[str, Any]:
        self.random.shuffle(self.statements)
        talk: dict[str, Any] = {"speaker_a": self.speakers[0], "speaker_b": self.speakers[1]}
        for number, date in enumerate(self.dates, 1):
            turns: list[dict[str, str]] = []
            for statement in self.statements:
                if statement.session != number:
                    continue
                statement.dialog_id = f"D{number}:{len(turns) + 1}"
                turns.append({"speaker": statement.speaker, "dia_id": statement.dialog_id, "text": statement.utterance})
                other = self.speakers[1 - self.speakers.index(statement.speaker)]
                reply = self.random.choice(words.REPLIES).format(name=statement.speaker)
                turns.append({"speaker": other, "dia_id": f"D{number}:{len(turns) + 1}", "text": reply})
            talk[f"session_{number}_date_time"] = date
            talk[f"session_{number}"] = turns
        return talk

    def _observation(self) -> dict[str, Any]:
        observation: dict[str, Any] = {}
        for number in range(1, SESSIONS + 1):
            observation[f"session_{number}_observation"] = {
                speaker: [
                    [statement.fact, statement.dialog_id]
                    for statement in self.statements
                    if statement.session == number and statement.speaker == speaker
                ]
                for speaker in self.speakers
            }
        return observation


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. The exit code is 2 for a wrong option, else 0."""
    parser = argparse.ArgumentParser(prog="memupdate.data.synthetic", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--conversations", type=int, default=10, help="how many conversations")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        corpus = synthetic_corpus(options.conversations, options.seed)
        write_output(options.output, json.dumps(corpus, indent=1, ensure_ascii=False) + "\n")
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    logger.info("wrote %d conversations to %s", len(corpus), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
