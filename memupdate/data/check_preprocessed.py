"""Checks that the rows, memories and manifest of a preprocessed directory belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memupdate.data.bank_keys import bank_key
from memupdate.data.banks import check_banks
from memupdate.data.check_episodes import SessionFacts, check_questions, check_session_rows
from memupdate.data.conversation import ADVERSARIAL, CATEGORIES
from memupdate.data.episodes import QUESTION
from memupdate.data.facts import read_initial_memories
from memupdate.data.layout import FORMAT, MANIFEST, SPLITS, rows_path, session_rows_path
from memupdate.data.prompts import build_prompt
from memupdate.data.questions import StoredQuestion, read_questions
from memupdate.data.rows import ABSTENTION, ROW_SCHEMA, trajectory_id
from memupdate.data.sessions import ShownPart, read_sessions
from memupdate.data.shape import Node, collecting, read_json
from memupdate.errors import DataError
from memupdate.memory import Memory


@dataclass(frozen=True, slots=True)
class PreprocessedReport:
    """Counts over a preprocessed directory, and its schema errors.

    Attributes:
        rows: number of question episodes per split.
        session_rows: number of session episodes per split.
        rows_per_category: number of rows per split and category.
        conversations: sample ids per split, in the order of their rows.
        memories: number of initial memories per conversation.
        questions: number of questions per conversation.
        banks: number of memories of each bank of a chained run.
        schema_errors: one message per error: the file, the place, what is expected and what was found.
    """

    rows: dict[str, int]
    session_rows: dict[str, int]
    rows_per_category: dict[str, dict[int, int]]
    conversations: dict[str, list[str]]
    memories: dict[str, int]
    questions: dict[str, int]
    banks: dict[str, int]
    schema_errors: list[str]


def check_preprocessed(directory: Path | str) -> PreprocessedReport:
    """Counts the rows and memories of a directory, and checks them against each other and against the manifest.

    Returns:
        The counts and the errors that were found.

    Raises:
        DataError: the manifest or a parquet file cannot be read.
    """
    directory = Path(directory)
    problems: list[str] = []
    manifest = read_json(directory / MANIFEST)
    with collecting(problems):
        written = manifest.field("format", "an integer")
        if written.integer() != FORMAT:
            raise written.fail(f"{FORMAT}: another version wrote this directory, so preprocess its input again")
    if problems:  # other files than those of this version
        return PreprocessedReport({}, {}, {}, {}, {}, {}, {}, problems)
    rows = {split: _read_rows(rows_path(directory, split), problems) for split in SPLITS}
    session_rows = {split: _read_rows(session_rows_path(directory, split), problems, empty=True) for split in SPLITS}
    seed: int | None = None
    with collecting(problems):
        seed = manifest.field("options", "an object").field("seed", "an integer").integer()
    for split in SPLITS:
        _check_rows(split, rows[split], rows_path(directory, split).name, seed, problems)
    # Rows without extra_info or sample_id are errors that _check_rows has reported.
    infos = {split: [row["extra_info"] for row in rows[split] if row["extra_info"]] for split in SPLITS}
    conversations = {
        split: list(dict.fromkeys(info["sample_id"] for info in infos[split] if info["sample_id"])) for split in SPLITS
    }
    for sample_id in sorted(set(conversations["train"]) & set(conversations["test"])):
        problems.append(f"{directory}: expected a conversation in one split, got {sample_id!r} in both")
    memories: dict[str, list[Memory]] = {}
    questions: dict[str, list[StoredQuestion]] = {}
    parts: dict[str, list[ShownPart]] = {}
    for sample_id in dict.fromkeys(sample_id for split in SPLITS for sample_id in conversations[split]):
        with collecting(problems):
            initial = memories[sample_id] = read_initial_memories(directory, sample_id)
            undated = [memory.id for memory in initial if not memory.session_date]
            if undated:
                raise DataError(f"{directory}: memories of {sample_id}: expected a session_date on {undated[0]!r}")
        with collecting(problems):
            questions[sample_id] = read_questions(directory, sample_id)
        with collecting(problems):
            parts[sample_id] = read_sessions(directory, sample_id)
    for split in SPLITS:
        _check_shown(session_rows[split], parts, session_rows_path(directory, split).name, problems)
    banks: dict[str, int] = {}
    with collecting(problems):
        banks = check_banks(directory, _stated_banks(manifest), parts)
    speakers = _speakers(manifest, list(memories), problems)
    for split in SPLITS:
        check_questions(infos[split], questions, rows_path(directory, split).name, problems)
        here = {name: known for name, known in questions.items() if name in conversations[split]}
        file = session_rows_path(directory, split).name
        check_session_rows(session_rows[split], SessionFacts(split, file, seed, memories, here, speakers), problems)
        _check_ids([*rows[split], *session_rows[split]], split, problems)
    counts = {
        "rows": {split: len(rows[split]) for split in SPLITS},
        "session_rows": {split: len(session_rows[split]) for split in SPLITS},
    }
    lines = {"memories": _lengths(memories), "questions": _lengths(questions)}
    _check_manifest(manifest, counts, lines, problems)
    categories = {split: Counter(info["category"] for info in infos[split] if info["category"]) for split in SPLITS}
    return PreprocessedReport(
        rows=counts["rows"],
        session_rows=counts["session_rows"],
        rows_per_category={split: dict(sorted(categories[split].items())) for split in SPLITS},
        conversations=conversations,
        memories=lines["memories"],
        questions=lines["questions"],
        banks=banks,
        schema_errors=problems,
    )


def _lengths(files: Mapping[str, Sequence[object]]) -> dict[str, int]:
    return {name: len(lines) for name, lines in files.items()}


def _check_shown(
    rows: Sequence[Mapping[str, Any]], parts: Mapping[str, Sequence[ShownPart]], file: str, problems: list[str]
) -> None:
    """Checks that each session episode shows what the file of sessions has."""
    known = {
        sample_id: {(bank_key(sample_id, one.first_turn), one.last_turn, one.text) for one in of_conversation}
        for sample_id, of_conversation in parts.items()
    }
    for position, row in enumerate(rows):
        info, prompt = row["extra_info"] or {}, row["prompt"] or [{}]
        sample_id = info.get("sample_id")
        shown = (info.get("bank"), info.get("last_turn"), prompt[-1].get("content"))
        if sample_id in known and shown not in known[sample_id]:
            problems.append(f"{file}: row {position}: expected a part of a session as in sessions/{sample_id}.jsonl")


def _stated_banks(manifest: Node) -> dict[str, int]:
    """Returns the number of banks of each conversation, as the manifest says it."""
    stated = manifest.field("banks", "null, or what is known of a chained run")
    if stated.value is None:
        return {}
    counts = stated.field("banks", "an object: conversation to number of banks").mapping()
    return {sample_id: count.integer() for sample_id, count in counts.items()}


def _speakers(manifest: Node, sample_ids: Sequence[str], problems: list[str]) -> dict[str, list[str]]:
    """Returns who speaks in each conversation, as the manifest says it."""
    found: dict[str, list[str]] = {}
    with collecting(problems):
        listed = manifest.field("speakers", "an object: conversation to list of names")
        for sample_id in sample_ids:
            found[sample_id] = [name.text() for name in listed.field(sample_id, "a list of names").items()]
    return found


def _read_rows(path: Path, problems: list[str], *, empty: bool = False) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: expected a readable parquet file: {error}") from error
    if not table.schema.equals(ROW_SCHEMA):
        for field in ROW_SCHEMA:
            position = table.schema.get_field_index(field.name)
            found = "no such column" if position < 0 else str(table.schema.field(position).type)
            if found != str(field.type):
                problems.append(f"{path}: column {field.name}: expected {field.type}, got {found}")
        for name in sorted(set(table.schema.names) - set(ROW_SCHEMA.names)):
            problems.append(f"{path}: column {name}: expected no such column")
        return []
    if not (table.num_rows or empty):
        problems.append(f"{path}: expected at least one row")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _check_rows(split: str, rows: list[dict[str, Any]], file: str, seed: int | None, problems: list[str]) -> None:
    for position, row in enumerate(rows):
        node = Node(row, file, f"row {position}")
        with collecting(problems):
            info = node.field("extra_info", "an object")
            for name in ("sample_id", "namespace", "question"):
                info.field(name, "text").text()
            category = info.field("category", "1 to 5")
            if category.value not in CATEGORIES:
                raise category.fail("an integer from 1 to 5")
            answer = info.field("answer", "text").text(empty=True)
            sample_id, qa_index = info.value["sample_id"], info.value["qa_index"]
            expected: dict[str, Any] = {"split": split, "index": position, "episode": QUESTION, "bank": sample_id}
            expected |= {"session": 0, "part": 0, "parts": 0, "last_turn": ""}
            if category.value == ADVERSARIAL:
                expected["answer"] = ABSTENTION
            if seed is not None:
                expected["namespace"] = trajectory_id(sample_id, qa_index, seed)
            for name, value in expected.items():
                if info.value[name] != value:
                    raise info.field(name, "").fail(repr(value))
            if row["prompt"] != build_prompt(info.value["question"]):
                raise node.field("prompt", "").fail("the system prompt and the question, nothing else")
            if (row["reward_model"] or {}).get("ground_truth") != answer:
                raise node.field("reward_model", "").fail("extra_info.answer as ground_truth")


def _check_ids(rows: list[dict[str, Any]], split: str, problems: list[str]) -> None:
    names = Counter(row["extra_info"]["namespace"] for row in rows if row["extra_info"])
    for name, count in names.items():
        if count > 1:
            problems.append(f"{split}: expected a trajectory id once, got {name!r} {count} times")


def _check_manifest(
    manifest: Node, counts: Mapping[str, Mapping[str, int]], lines: Mapping[str, Mapping[str, int]], problems: list[str]
) -> None:
    with collecting(problems):
        splits = manifest.field("splits", "an object")
        for name, per_split in counts.items():
            for split, count in per_split.items():
                stated = splits.field(split, "an object").field(name, "an integer")
                if stated.integer() != count:
                    raise stated.fail(f"{count}, the rows of the file")
    for name, per_conversation in lines.items():
        with collecting(problems):
            listed = manifest.field(name, "an object")
            for sample_id, count in per_conversation.items():
                stated = listed.field(sample_id, "an integer")
                if stated.integer() != count:
                    raise stated.fail(f"{count}, the lines of its file")
