"""A dataset to verl's parquet: ``memupdate preprocess --input locomo10.json --output DIR``.

It writes the question episodes ``DIR/train.parquet`` and ``DIR/test.parquet``, the session episodes
``DIR/train-session.parquet`` and ``DIR/test-session.parquet``, ``DIR/memories/{sample_id}.jsonl``,
``DIR/questions/{sample_id}.jsonl``, ``DIR/sessions/{sample_id}.jsonl`` and ``DIR/manifest.json``. With ``--banks``, it
also copies the banks of a chained run to ``DIR/banks/``. Two runs with the same input and options write the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from memupdate.data.banks import ChainedBanks
from memupdate.data.conversation import Conversation, Question
from memupdate.data.datasets import DATASETS, load_dataset
from memupdate.data.episodes import DEFAULT_SESSION_CHARACTERS, session_parts
from memupdate.data.facts import initial_memories
from memupdate.data.layout import (
    FORMAT,
    MANIFEST,
    MEMORIES,
    OUTPUTS,
    QUESTIONS,
    SESSIONS,
    SPLITS,
    memories_path,
    questions_path,
    rows_path,
    session_rows_path,
    sessions_path,
)
from memupdate.data.questions import StoredQuestion, write_questions
from memupdate.data.rows import ROW_SCHEMA, build_row, build_session_row, stored_question
from memupdate.data.sessions import ShownPart, shown_parts, write_sessions
from memupdate.data.splits import (
    ADVERSARIAL_MODES,
    DEFAULT_TRAIN_CONVERSATIONS,
    select_questions,
    split_conversations,
)
from memupdate.errors import FieldError, MemupdateError
from memupdate.files import new_directory
from memupdate.memory import write_memories

logger = logging.getLogger(__name__)

DEFAULT_DATASET = "locomo"


def preprocess(
    input_path: Path | str,
    output: Path | str,
    *,
    dataset: str = DEFAULT_DATASET,
    seed: int = 42,
    train_conversations: int | None = None,
    test: Sequence[str] | None = None,
    categories: Sequence[int] | None = None,
    adversarial: str = "abstain",
    limit_questions: int | None = None,
    session_characters: int = DEFAULT_SESSION_CHARACTERS,
    banks: Path | None = None,
) -> dict[str, Any]:
    """Writes the directory that verl and the broker read. It appears whole or not at all.

    Args:
        input_path: the dataset's file.
        output: the directory. One that this function wrote before is replaced.
        dataset: a name in ``DATASETS``.
        seed: for the split, the trajectory ids, and the choice under ``limit_questions``.
        train_conversations: how many conversations train; the others test. None for the split that the dataset names,
            or for 7 if it names none.
        test: names of the test conversations, instead of a random split.
        categories: question categories to keep; None for all.
        adversarial: "abstain" scores category 5 as abstention, "drop" leaves it out.
        limit_questions: how many questions to keep per conversation at most; None for all.
        session_characters: the largest length of what a session episode shows. A longer session comes in parts.
        banks: the folder of a finished chained run, whose banks the session episodes start from; None for the
            conversation's own memories.

    Returns:
        The manifest: dataset, hash of the input, options, and counts per split and conversation.

    Raises:
        DataError: the input cannot be read, or is not what the dataset's loader expects.
        FieldError: an option has a value that is not allowed, leaves a split without questions, a turn is longer than
            ``session_characters``, or the chained run is of other sessions.
    """
    path = Path(input_path)
    conversations = load_dataset(dataset, path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    train_split, test_split = split_conversations(
        conversations, seed=seed, train_conversations=train_conversations, test=test
    )
    members = dict(zip(SPLITS, (train_split, test_split), strict=True))
    episodes: dict[str, _Episodes] = {}
    for split in SPLITS:
        episodes[split] = _Episodes(dataset, split, seed)
        for conversation in members[split]:
            chosen = select_questions(
                conversation, seed=seed, categories=categories, adversarial=adversarial, limit=limit_questions
            )
            episodes[split].add(conversation, chosen, session_characters)
        if not episodes[split].rows:
            names = ", ".join(conversation.sample_id for conversation in members[split])
            raise FieldError("categories", categories, f"some that the {split} conversations have ({names})")
    questions = {
        conversation.sample_id: episodes[split].questions[conversation.sample_id]
        for split in SPLITS
        for conversation in members[split]
    }
    parts = {
        # As with session episodes: without evidence, nothing tells where a question belongs.
        conversation.sample_id: shown_parts(conversation, session_characters)
        if any(question.evidence for question in questions[conversation.sample_id])
        else []
        for conversation in conversations
    }
    chained = None if banks is None else ChainedBanks(banks, digest, parts)
    manifest = {
        "format": FORMAT,
        "dataset": dataset,
        "input": {"name": path.name, "sha256": digest},
        "options": {
            "seed": seed,
            "train_conversations": len(train_split),
            "test": None if test is None else list(test),
            "categories": None if categories is None else sorted(set(categories)),
            "adversarial": adversarial,
            "limit_questions": limit_questions,
            "session_characters": session_characters,
        },
        "splits": {split: _split_counts(members[split], episodes[split]) for split in SPLITS},
        "memories": {conversation.sample_id: len(conversation.facts) for conversation in conversations},
        "questions": {conversation.sample_id: len(questions[conversation.sample_id]) for conversation in conversations},
        "banks": None if chained is None else chained.manifest(),
        "speakers": {conversation.sample_id: _speakers(conversation) for conversation in conversations},
    }
    _write(Path(output), episodes, conversations, questions, parts, chained, manifest)
    return manifest


@dataclass(slots=True)
class _Episodes:
    """The episodes of one split, and the questions of its conversations."""

    dataset: str
    split: str
    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    session_rows: list[dict[str, Any]] = field(default_factory=list)
    questions: dict[str, list[StoredQuestion]] = field(default_factory=dict)

    def add(self, conversation: Conversation, chosen: Sequence[Question], characters: int) -> None:
        """Adds a conversation's episodes: one per chosen question, and one per part of a session with a question."""
        name = conversation.sample_id
        fixed: dict[str, Any] = {"dataset": self.dataset, "split": self.split, "seed": self.seed}
        for question in chosen:
            self.rows.append(build_row(name, question, index=len(self.rows), **fixed))
        for shown in session_parts(conversation, [question.evidence.ids for question in chosen], characters):
            self.session_rows.append(build_session_row(name, shown, index=len(self.session_rows), **fixed))
        self.questions[name] = [stored_question(question) for question in chosen]


def _speakers(conversation: Conversation) -> list[str]:
    """Returns who speaks, in the order of their first turns."""
    return list(dict.fromkeys(turn.speaker for session in conversation.sessions for turn in session.turns))


def _split_counts(members: Sequence[Conversation], episodes: _Episodes) -> dict[str, Any]:
    categories = Counter(row["extra_info"]["category"] for row in episodes.rows)
    return {
        "rows": len(episodes.rows),
        "session_rows": len(episodes.session_rows),
        "conversations": [conversation.sample_id for conversation in members],
        "categories": {str(category): categories[category] for category in sorted(categories)},
    }


def _write(
    output: Path,
    episodes: dict[str, _Episodes],
    conversations: Sequence[Conversation],
    questions: dict[str, list[StoredQuestion]],
    parts: dict[str, list[ShownPart]],
    chained: ChainedBanks | None,
    manifest: dict[str, Any],
) -> None:
    with new_directory(output, OUTPUTS) as directory:
        for split in SPLITS:
            _write_rows(rows_path(directory, split), episodes[split].rows)
            _write_rows(session_rows_path(directory, split), episodes[split].session_rows)
        (directory / MEMORIES).mkdir()
        (directory / QUESTIONS).mkdir()
        (directory / SESSIONS).mkdir()
        for conversation in tqdm(conversations, desc="memories", unit="conversation", disable=None):
            name = conversation.sample_id
            write_memories(memories_path(directory, name), initial_memories(conversation))
            write_questions(questions_path(directory, name), questions[name])
            write_sessions(sessions_path(directory, name), parts[name])
        if chained is not None:
            chained.copy(directory)
        (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(list(rows), schema=ROW_SCHEMA), path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="memupdate preprocess", description=__doc__)
    parser.add_argument(
        "--dataset",
        default=DEFAULT_DATASET,
        metavar="NAME",
        help=f"what the input is: {', '.join(DATASETS)} (default {DEFAULT_DATASET})",
    )
    parser.add_argument("--input", type=Path, required=True, help="the dataset's file, such as locomo10.json")
    parser.add_argument("--output", type=Path, required=True, help="the directory to write")
    parser.add_argument("--seed", type=int, default=42)
    split = parser.add_mutually_exclusive_group()
    split.add_argument(
        "--train-conversations",
        type=int,
        help=f"how many train (default: as the dataset says, else {DEFAULT_TRAIN_CONVERSATIONS})",
    )
    split.add_argument("--test", nargs="+", metavar="SAMPLE_ID", help="the test conversations, by name")
    parser.add_argument("--categories", type=int, nargs="+", metavar="N", help="categories to keep (default all)")
    parser.add_argument(
        "--adversarial",
        default="abstain",
        help=f"{' or '.join(ADVERSARIAL_MODES)}: score category 5 as abstention (default) or leave it out",
    )
    parser.add_argument("--limit-questions", type=int, metavar="N", help="questions per conversation at most")
    parser.add_argument(
        "--session-characters",
        type=int,
        default=DEFAULT_SESSION_CHARACTERS,
        metavar="N",
        help=f"cut sessions that are longer into parts (default {DEFAULT_SESSION_CHARACTERS})",
    )
    parser.add_argument(
        "--banks",
        type=Path,
        metavar="OUT",
        help="start session episodes from the banks of this chained run (memupdate chain)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. The exit code is 2 for wrong options or data, else 0."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    try:
        manifest = preprocess(options.pop("input"), **options)
    except MemupdateError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2
    for name, counts in manifest["splits"].items():
        members = ", ".join(counts["conversations"])
        logger.info("%s: %d question and %d session rows of %s", name, counts["rows"], counts["session_rows"], members)
    return 0
