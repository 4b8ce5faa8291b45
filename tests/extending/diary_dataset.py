"""A dataset: diaries, one JSON object per line.

A line is an entry, or a question about the entries of its diary::

    {"diary": "ana", "date": "3 May, 2024", "text": "I adopted a cat called Mio."}
    {"diary": "ana", "question": "What is the cat called?", "answer": "Mio"}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memupdate.data.conversation import Conversation, Evidence, Fact, Question, Session, Turn
from memupdate.errors import DataError

SINGLE_HOP = 4  # the category of a question that one memory answers


def load_diary(path: Path) -> list[Conversation]:
    """Returns one conversation per diary, in the order of the file."""
    diaries: dict[str, list[dict[str, Any]]] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            diaries.setdefault(record["diary"], []).append(record)
        return [_conversation(name, records) for name, records in diaries.items()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: expected diary entries and questions as JSON lines: {error!r}") from error


def _conversation(name: str, records: list[dict[str, Any]]) -> Conversation:
    """Makes each entry a session of one turn, and what it says a fact: the memory that a bank starts with."""
    entries = [record for record in records if "question" not in record]
    asked = [record for record in records if "question" in record]
    sessions, facts = [], []
    for number, entry in enumerate(entries, 1):
        turn = Turn(f"D{number}:1", number, name, entry["text"])
        sessions.append(Session(number, entry["date"], (turn,)))
        facts.append(Fact(name, number, entry["text"], Evidence(ids=(turn.dialog_id,))))
    questions = [
        Question(index, record["question"], SINGLE_HOP, record["answer"]) for index, record in enumerate(asked)
    ]
    return Conversation(name, (name,), tuple(sessions), tuple(facts), tuple(questions))
