"""Constant programs: they do the same in every episode, whatever is asked. A reward worth learning pays them little."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from memupdate.baselines.episodes import Episode
from memupdate.baselines.program import Edit, Kind, Program, hits, merge, write
from memupdate.memory import MemoryBank
from memupdate.memory.words import STOPWORDS

_WORD = re.compile(r"[\w'’]+")
_CAPITAL_OR_DIGIT = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}|\d")


def _top(strategy: str, times: int = 1) -> Edit:
    def edit(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
        for _ in range(times):
            merge(bank, hits(bank, episode), strategy)

    return edit


def _delete_top(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for memory in hits(bank, episode, 1):
        bank.delete(memory.id)


def _copy_top(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for memory in hits(bank, episode, 1):
        write(bank, memory.text)


def _note_question(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    if episode.shown:
        write(bank, episode.shown.question)


def _note_speakers(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    for speaker in sorted({memory.speaker for memory in bank if memory.speaker}):
        write(bank, f"{speaker} talks about family, friends, work, hobbies, plans and feelings.")


def _each(line: Callable[[str], str], every: int = 1, dated: bool = False) -> Edit:
    """Returns a program that writes a memory for each turn; ``line`` rewrites the turn, and "" leaves it out."""

    def edit(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
        day = episode.date.rpartition(" on ")[2]
        for text in episode.lines[::every]:
            note = line(text)
            write(bank, f"{note} ({day})" if note and dated and day else note)

    return edit


def _whole(text: str) -> str:
    return text


def _said(text: str) -> str:
    return text.partition(": ")[2]


def _content(text: str, least: int = 1) -> str:
    words = [word for word in _WORD.findall(_said(text)) if word.lower() not in STOPWORDS]
    return f"{text.partition(':')[0]}: {' '.join(words)}" if len(words) >= least else ""


def _if_named(text: str) -> str:
    return text if _CAPITAL_OR_DIGIT.search(_said(text)) else ""


def _one_note(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    write(bank, " ".join(episode.lines))


def _by_speaker(bank: MemoryBank, episode: Episode, source: random.Random) -> None:
    speakers = dict.fromkeys(line.partition(":")[0] for line in episode.lines)
    for speaker in speakers:
        said = [_said(line) for line in episode.lines if line.startswith(f"{speaker}:")]
        write(bank, f"{speaker}: {' '.join(said)}")


NOTHING = Program("do nothing", Kind.NOTHING, lambda bank, episode, source: None)

QUESTION_PROGRAMS = (
    NOTHING,
    Program("merge the top five (concatenate)", Kind.CONSTANT, _top("concatenate")),
    Program("merge the top five twice (concatenate)", Kind.CONSTANT, _top("concatenate", 2)),
    Program("merge the top five (summarize)", Kind.CONSTANT, _top("summarize")),
    Program("merge the top five twice (summarize)", Kind.CONSTANT, _top("summarize", 2)),
    Program("merge the top five (extract common)", Kind.CONSTANT, _top("extract_common")),
    Program("delete the top hit", Kind.CONSTANT, _delete_top),
    Program("copy the top hit", Kind.CONSTANT, _copy_top),
    Program("write the question down", Kind.CONSTANT, _note_question),
    Program("a note about each speaker", Kind.CONSTANT, _note_speakers),
)

SESSION_PROGRAMS = (
    NOTHING,
    Program("keep everything", Kind.CONSTANT, _each(_whole)),
    Program("keep everything, with the date", Kind.CONSTANT, _each(_whole, dated=True)),
    Program("keep every second turn", Kind.CONSTANT, _each(_whole, every=2)),
    Program("keep turns that ask nothing", Kind.CONSTANT, _each(lambda text: "" if "?" in text else text)),
    Program("keep long turns", Kind.CONSTANT, _each(lambda text: text if len(text) > 80 else "")),
    Program("keep very long turns", Kind.CONSTANT, _each(lambda text: text if len(text) > 160 else "")),
    Program("keep turns with a name or a number", Kind.CONSTANT, _each(_if_named)),
    Program(
        "keep turns with a name or a number, with the date",
        Kind.CONSTANT,
        _each(_if_named, dated=True),
    ),
    Program("keep what is said, without the speaker", Kind.CONSTANT, _each(_said)),
    Program("keep the first 60 characters of each turn", Kind.CONSTANT, _each(lambda text: text[:60])),
    Program("keep the last 80 characters of each turn", Kind.CONSTANT, _each(lambda text: text[-80:])),
    Program("keep the content words of each turn", Kind.CONSTANT, _each(_content)),
    Program("keep the content words of long turns", Kind.CONSTANT, _each(lambda text: _content(text, 6))),
    Program("keep the content words, with the date", Kind.CONSTANT, _each(_content, dated=True)),
    Program(
        "keep the content words of turns with a name or a number, with the date",
        Kind.CONSTANT,
        _each(lambda text: _content(_if_named(text)) if _if_named(text) else "", dated=True),
    ),
    Program("one note of the whole session", Kind.CONSTANT, _one_note),
    Program("one note for each speaker", Kind.CONSTANT, _by_speaker),
    Program("merge the top five (summarize)", Kind.CONSTANT, _top("summarize")),
)
