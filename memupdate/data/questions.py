"""The questions of each conversation of a preprocessed folder. The reward draws hidden questions from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from memupdate.data.conversation import CATEGORIES
from memupdate.data.layout import questions_path
from memupdate.data.shape import Node, read_json_lines
from memupdate.errors import DataError

FIELDS = ("index", "question", "answer", "category", "evidence")


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """A question that may be asked of a bank.

    Attributes:
        index: its place in the conversation's list. Texts repeat; indexes do not.
        question: its text.
        answer: the gold answer that the reward compares with. For an adversarial question it is the abstention.
        category: 1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop, 5 adversarial.
        evidence: ids of the turns that it cites, without ids of turns that do not exist.
    """

    index: int
    question: str
    answer: str
    category: int
    evidence: tuple[str, ...]


def write_questions(path: Path, questions: Sequence[StoredQuestion]) -> None:
    """Writes questions to a file that ``read_questions`` reads, one JSON object a line.

    Raises:
        OSError: the file cannot be written.
    """
    lines = (json.dumps(asdict(question), ensure_ascii=False) + "\n" for question in questions)
    path.write_text("".join(lines), encoding="utf-8")


def read_questions(directory: Path | str, sample_id: str) -> list[StoredQuestion]:
    """Reads the questions of a conversation from a preprocessed folder, in the order of the dataset.

    Raises:
        DataError: the file cannot be read, a line is not a question, or the indexes do not ascend.
    """
    path = questions_path(directory, sample_id)
    questions: list[StoredQuestion] = []
    for node in read_json_lines(path, "a question"):
        question = _question(node)
        if questions and question.index <= questions[-1].index:
            raise DataError(f"{node.file}: expected an index above {questions[-1].index}, got {question.index}")
        questions.append(question)
    return questions


def _question(node: Node) -> StoredQuestion:
    members = node.mapping("an object with " + ", ".join(FIELDS))
    unknown = sorted(set(members) - set(FIELDS))
    if unknown:
        raise members[unknown[0]].fail("no such field")
    index = node.field("index", "a whole number from 0")
    if index.integer("a whole number from 0") < 0:
        raise index.fail("a whole number from 0")
    category = node.field("category", "an integer from 1 to 5")
    if category.integer("an integer from 1 to 5") not in CATEGORIES:
        raise category.fail("an integer from 1 to 5")
    return StoredQuestion(
        index=index.integer(),
        question=node.field("question", "text").text(),
        answer=node.field("answer", "text").text(empty=True),
        category=category.integer(),
        evidence=tuple(one.text("a dialog id") for one in node.field("evidence", "a list of dialog ids").items()),
    )
