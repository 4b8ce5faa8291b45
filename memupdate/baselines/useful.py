"""Useful edits: each mends one thing that was planted, so a reward must pay for it on any data.

A planted bank is the episode's own with one fault: an outdated version beside a fact, a copy in other words, a date
that is only relative, a wordy text, or a missing fact. The edit takes the fault away and does nothing else.
"""

from __future__ import annotations

import random

from memupdate.baselines.episodes import Episode
from memupdate.baselines.program import Edit, Kind, Program, write
from memupdate.data.questions import StoredQuestion
from memupdate.memory import Memory, MemoryBank

WORDY = "It was mentioned in the conversation, and it may be worth noting here, that the following is so: "


def support(bank: MemoryBank, question: StoredQuestion) -> list[Memory]:
    """Returns the memories that cite a turn that the question cites too."""
    cited = set(question.evidence)
    return [memory for memory in bank if cited & set(memory.evidence)]


def _asked(bank: MemoryBank, episode: Episode, source: random.Random) -> tuple[StoredQuestion, Memory] | None:
    """Returns a question of the episode with one memory that supports it."""
    found = [(one, memory) for one in episode.questions for memory in support(bank, one)]
    return source.choice(found) if found else None


def _without(text: str, words: str) -> str:
    """Returns ``text`` with "something" in the place of each of the words."""
    gone = {word.lower() for word in words.replace(",", " ").split()}
    return " ".join("something" if word.strip(".,!?").lower() in gone else word for word in text.split())


def _plant_outdated(bank: MemoryBank, episode: Episode, source: random.Random) -> Edit | None:
    found = _asked(bank, episode, source)
    if found is None:
        return None
    question, memory = found
    old = bank.create(_without(memory.content, question.answer), session_date=memory.session_date)
    return lambda edited, _, __: void(edited.delete(old.id))


def _plant_copy(bank: MemoryBank, episode: Episode, source: random.Random) -> Edit | None:
    found = _asked(bank, episode, source)
    if found is None:
        return None
    copy = bank.create(f"Once again: {found[1].content}", session_date=found[1].session_date)
    return lambda edited, _, __: void(edited.delete(copy.id))


def _plant_relative_date(bank: MemoryBank, episode: Episode, source: random.Random) -> Edit | None:
    dated = [
        (one, memory)
        for one in episode.questions
        for memory in support(bank, one)
        if one.category == 2 and memory.session_date
    ]
    if not dated:
        return None
    question, memory = source.choice(dated)
    bank.put(memory.id, f"{_without(memory.content, question.answer)} a while ago", evidence=memory.evidence)
    return lambda edited, _, __: void(edited.update(memory.id, f"{memory.content} ({question.answer})"))


def _plant_wordy(bank: MemoryBank, episode: Episode, source: random.Random) -> Edit | None:
    found = _asked(bank, episode, source)
    if found is None:
        return None
    memory = found[1]
    bank.update(memory.id, WORDY + memory.content)
    return lambda edited, _, __: void(edited.update(memory.id, memory.content))


def _plant_gap(bank: MemoryBank, episode: Episode, source: random.Random) -> Edit | None:
    found = _asked(bank, episode, source)
    if found is None:
        return None
    lost = support(bank, found[0])
    for memory in lost:
        bank.delete(memory.id)

    def restore(edited: MemoryBank, _: Episode, __: random.Random) -> None:
        for memory in lost:
            write(edited, memory.text)

    return restore


def _plant_paraphrase(bank: MemoryBank, episode: Episode, source: random.Random) -> Edit | None:
    found = _asked(bank, episode, source)
    if found is None:
        return None
    memory = found[1]
    first, _, rest = memory.content.rstrip(".").partition(" ")
    turned = f"{rest}, says {first}." if rest else f"So it is: {first}."
    return lambda edited, _, __: void(edited.update(memory.id, turned))


def void(_: object) -> None:
    """Drops a value: an edit returns nothing."""


USEFUL = (
    Program("delete an outdated version of a fact", Kind.USEFUL, plant=_plant_outdated),
    Program("drop a copy in other words", Kind.USEFUL, plant=_plant_copy),
    Program("write the date where only a relative one was", Kind.USEFUL, plant=_plant_relative_date),
    Program("shorten a wordy memory without loss", Kind.USEFUL, plant=_plant_wordy),
    Program("write a missing fact", Kind.USEFUL, plant=_plant_gap),
    Program("paraphrase a memory", Kind.NEUTRAL, plant=_plant_paraphrase),
)


def _oracle(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for question in episode.questions:
        write(bank, f"{question.question} {question.answer}")


ORACLE = Program("oracle: a note of each hidden question and its answer", Kind.ORACLE, _oracle)
