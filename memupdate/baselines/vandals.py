"""Vandals: programs that forget, stuff or pad. A reward must take from each of them, on the mean over a corpus."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

from memupdate.baselines.episodes import Episode
from memupdate.baselines.program import Edit, Kind, Program, hits, keep_only, merge_all, write
from memupdate.data.conversation import ADVERSARIAL
from memupdate.evaluation.locomo import normalize
from memupdate.memory import MemoryBank

LOREM = "lorem ipsum dolor sit amet consectetur"
PADDING = " and so on and so forth, as one would expect of it"
MONTHS = "January February March April May June July August September October November December"
# How many memories around the shown question a vandal spares. Five are read; a careful one spares four times as many.
SPARED = 20


def _delete_rest(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for memory in keep_only(bank, hits(bank, episode, SPARED) if episode.shown else []):
        bank.delete(memory.id)


def _overwrite_rest(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for memory in keep_only(bank, hits(bank, episode, SPARED) if episode.shown else []):
        bank.update(memory.id, LOREM)


def _delete_share(share: float) -> Edit:
    def edit(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
        for memory in list(bank):
            if source.random() < share:
                bank.delete(memory.id)

    return edit


def _stuff(words: list[str], notes: int, length: int) -> Edit:
    """Returns a program that writes notes of the most frequent words of answers."""

    def edit(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
        speakers = sorted({memory.speaker for memory in bank if memory.speaker}) or ["It"]
        for number in range(notes):
            chosen = words[number * length : (number + 1) * length]
            write(bank, f"{speakers[number % len(speakers)]}: {' '.join(chosen)}")

    return edit


def _calendar(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    years = sorted({word for memory in bank for word in memory.session_date.split() if word.isdigit()}) or ["2023"]
    speakers = sorted({memory.speaker for memory in bank if memory.speaker})
    days = " ".join(str(day) for day in range(1, 32))
    write(bank, f"When did {' '.join(speakers)}: {MONTHS} {days} {' '.join(years)}")


def _pad(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for memory in list(bank):
        bank.update(memory.id, memory.content + PADDING)


def _wipe(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for memory in list(bank):
        bank.delete(memory.id)


def _plant_wipe_on_abstention(bank: MemoryBank, episode: Episode, source: random.Random) -> Edit | None:
    return _wipe if any(one.category == ADVERSARIAL for one in episode.questions) else None


def _merge_all(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    merge_all(bank)


def frequent_words(answers: Iterable[str]) -> list[str]:
    """Returns the words of answers, the most frequent first."""
    counts = Counter(word for answer in answers for word in normalize(answer).split())
    return sorted(counts, key=lambda word: (-counts[word], word))


def vandals(training_answers: Iterable[str]) -> tuple[Program, ...]:
    """Returns the vandals.

    Args:
        training_answers: the answers of the training questions, from which words are stuffed.
    """
    words = frequent_words(training_answers)
    return (
        Program("delete the rest", Kind.VANDAL, _delete_rest),
        Program("overwrite the rest", Kind.VANDAL, _overwrite_rest),
        Program("delete 10 % at random", Kind.VANDAL, _delete_share(0.1)),
        Program("delete 50 % at random", Kind.VANDAL, _delete_share(0.5)),
        Program("five notes of frequent answer words", Kind.VANDAL, _stuff(words, 5, 60)),
        Program("two short notes of frequent answer words", Kind.VANDAL, _stuff(words, 2, 15)),
        Program("a calendar note", Kind.VANDAL, _calendar),
        Program("pad every memory", Kind.VANDAL, _pad),
        Program("wipe where a question has no answer", Kind.VANDAL, plant=_plant_wipe_on_abstention),
        Program("wipe", Kind.VANDAL, _wipe),
        Program("merge everything into one", Kind.VANDAL, _merge_all),
    )
