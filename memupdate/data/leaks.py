"""What held-out conversations share with training ones: questions, answers and facts.

A question that was trained on, up to the name in it, does not test what was learned. Texts are compared twice: as they
are, and up to names. Up to names means that letter case and punctuation do not count, and that the names of the
conversation's speakers are replaced by one placeholder. Nicknames stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from memupdate.data.conversation import ADVERSARIAL
from memupdate.data.facts import read_initial_memories
from memupdate.data.layout import SPLITS, rows_path

# Shown of each kind, so that a report stays readable. The counts are of all.
MAX_EXAMPLES = 10

_WORD = re.compile(r"[^\W_]+")
_NAME = "_"  # no word: _WORD does not find it


@dataclass(frozen=True, slots=True)
class Shared:
    """How many held-out texts of one kind occur in training.

    Attributes:
        train: number of texts in training conversations.
        held_out: number of texts in held-out conversations.
        verbatim: how many of ``held_out`` also stand in training, letter by letter.
        up_to_names: how many do so up to names, letter case and punctuation. Those of ``verbatim`` are among them.
        examples: up to 10 different texts of ``up_to_names``.
    """

    train: int
    held_out: int
    verbatim: int
    up_to_names: int
    examples: list[str]


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the splits of a preprocessed directory share.

    Attributes:
        questions: the questions of the rows.
        answers: their gold answers, without those of adversarial questions, which are all the same abstention.
        facts: the initial memories, without their dates.
    """

    questions: Shared
    answers: Shared
    facts: Shared

    @property
    def found(self) -> bool:
        """Whether a question or a fact is shared.

        Answers do not decide. Unrelated questions may have the answer "Yes" or "two", in any data.
        """
        return self.questions.up_to_names > 0 or self.facts.up_to_names > 0


@dataclass(slots=True)
class _Texts:
    """Texts as they are and up to names, in the same order."""

    plain: list[str] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)

    def add(self, text: str, names: Iterable[str]) -> None:
        self.plain.append(text)
        self.nameless.append(up_to_names(text, names))


def up_to_names(text: str, names: Iterable[str]) -> str:
    """Returns the words of a text in lower case, with a placeholder for each of ``names``.

    ``"What are Anna's books?"`` gives ``"what are _ s books"`` for the name ``"Anna"``.
    """
    words = " ".join(_words(text))
    for name in sorted({" ".join(_words(name)) for name in names}, key=len, reverse=True):
        if name:
            words = re.sub(rf"(?<!\S){re.escape(name)}(?!\S)", _NAME, words)
    return words


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def find_leaks(directory: Path | str) -> Leaks:
    """Compares the held-out conversations of a preprocessed directory with those that train.

    Args:
        directory: one in which :func:`memupdate.data.check_preprocessed.check_preprocessed` finds no schema errors.

    Returns:
        What they share.

    Raises:
        DataError: the memories of a conversation cannot be read.
    """
    questions, answers, facts = ({split: _Texts() for split in SPLITS} for _ in range(3))
    for split in SPLITS:
        infos: list[dict[str, Any]] = pq.read_table(rows_path(directory, split), columns=["extra_info"])[
            "extra_info"
        ].to_pylist()
        names: dict[str, set[str]] = {}
        for sample_id in dict.fromkeys(info["sample_id"] for info in infos):
            memories = read_initial_memories(directory, sample_id)
            names[sample_id] = {memory.speaker for memory in memories}
            for memory in memories:
                facts[split].add(memory.content, names[sample_id])
        for info in infos:
            known = names[info["sample_id"]]
            questions[split].add(info["question"], known)
            if info["category"] != ADVERSARIAL:
                answers[split].add(info["answer"], known)
    return Leaks(*(_shared(texts["train"], texts["test"]) for texts in (questions, answers, facts)))


def _shared(train: _Texts, held_out: _Texts) -> Shared:
    plain, nameless = set(train.plain), set(train.nameless)
    found = [
        text
        for text, without_names in zip(held_out.plain, held_out.nameless, strict=True)
        # A text without words, such as "?", is shared only if it is the same.
        if text in plain or (without_names and without_names in nameless)
    ]
    return Shared(
        train=len(train.plain),
        held_out=len(held_out.plain),
        verbatim=sum(text in plain for text in held_out.plain),
        up_to_names=len(found),
        examples=_examples(found),
    )


def _examples(found: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(found))[:MAX_EXAMPLES]
