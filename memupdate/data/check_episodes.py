"""Checks the session episodes of a preprocessed directory, and its questions, against the other files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memupdate.data.bank_keys import bank_key, learned_before, place_of, split_bank_key
from memupdate.data.episodes import SESSION, has_question, session_line
from memupdate.data.prompts import build_session_prompt
from memupdate.data.questions import StoredQuestion
from memupdate.data.rows import NO_QUESTION, SESSION_CATEGORY, session_trajectory_id
from memupdate.data.shape import Node, collecting
from memupdate.errors import FieldError
from memupdate.memory import Memory


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the session episodes of one split are checked against.

    Attributes:
        split: "train" or "test".
        file: the name of the rows' file, for messages.
        seed: the seed of the trajectory ids; None if the manifest has none.
        memories: the initial memories of each conversation.
        questions: the questions of each conversation of this split.
        speakers: who speaks, by conversation.
    """

    split: str
    file: str
    seed: int | None
    memories: Mapping[str, Sequence[Memory]]
    questions: Mapping[str, Sequence[StoredQuestion]]
    speakers: Mapping[str, Sequence[str]]


def check_questions(
    infos: Sequence[Mapping[str, Any]],
    questions: Mapping[str, Sequence[StoredQuestion]],
    file: str,
    problems: list[str],
) -> None:
    """Checks that each question episode asks a stored question, and that each stored question is asked.

    Args:
        infos: the ``extra_info`` of the question episodes of a split.
        questions: the stored questions of each conversation whose file could be read.
        file: the name of the rows' file, for messages.
        problems: receives one message per error.
    """
    asked: dict[str, set[int]] = {}
    for position, info in enumerate(infos):
        sample_id = info["sample_id"]
        if sample_id not in questions:
            continue  # its file or its row has been reported
        asked.setdefault(sample_id, set()).add(info["qa_index"])
        node = Node(info, file, f"row {position}.extra_info")
        with collecting(problems):
            stored = next((one for one in questions[sample_id] if one.index == info["qa_index"]), None)
            if stored is None:
                raise node.field("qa_index", "").fail(f"the index of a question in questions/{sample_id}.jsonl")
            expected = asdict(stored) | {"evidence": list(stored.evidence)}
            for name in ("question", "answer", "category", "evidence"):
                if info[name] != expected[name]:
                    raise node.field(name, "").fail(f"{expected[name]!r}, as questions/{sample_id}.jsonl has it")
    for sample_id, indexes in asked.items():
        for stored in questions[sample_id]:
            if stored.index not in indexes:
                problems.append(
                    f"questions/{sample_id}.jsonl: expected a row of {file} that asks question {stored.index}"
                )


def check_session_rows(rows: Sequence[Mapping[str, Any]], facts: SessionFacts, problems: list[str]) -> None:
    """Checks each session episode: its fields, its bank, its prompt, and that a question can be asked after it.

    Args:
        rows: the session episodes of a split, with the columns of ``ROW_SCHEMA``.
        facts: what they are checked against.
        problems: receives at most one message per row.
    """
    for position, row in enumerate(rows):
        with collecting(problems):
            _check_row(Node(row, facts.file, f"row {position}"), position, facts)


def _check_row(node: Node, position: int, facts: SessionFacts) -> None:
    info = node.field("extra_info", "an object")
    sample = info.field("sample_id", "text")
    sample_id = sample.text()
    if sample_id not in facts.questions or sample_id not in facts.memories:
        raise sample.fail(f"a conversation of the {facts.split} split")
    session, part, parts = (info.field(name, "a number").integer() for name in ("session", "part", "parts"))
    if not 1 <= part <= parts:
        raise info.field("part", "").fail(f"1 to {parts}, the parts of the session")
    expected: dict[str, Any] = {
        **{"split": facts.split, "index": position, "episode": SESSION, "qa_index": NO_QUESTION},
        **{"question": "", "answer": "", "category": SESSION_CATEGORY, "evidence": [], "adversarial_answer": None},
    }
    if facts.seed is not None:
        expected["namespace"] = session_trajectory_id(sample_id, session, part, facts.seed)
    for name, value in expected.items():
        if info.value[name] != value:
            raise info.field(name, "").fail(repr(value))
    if (node.value["reward_model"] or {}).get("ground_truth") != "":
        raise node.field("reward_model", "").fail("'' as ground_truth: nothing is asked")
    first, last = _check_bank(info, sample_id, session, facts)
    if not has_question(first, last, [question.evidence for question in facts.questions[sample_id]]):
        allowed = f"turns after which a question of questions/{sample_id}.jsonl can be answered that needs them"
        raise info.field("last_turn", "").fail(allowed)
    _check_prompt(node, sample_id, session, facts)


def _check_bank(info: Node, sample_id: str, session: int, facts: SessionFacts) -> tuple[str, str]:
    """Returns the first and the last turn of a session episode, after checking them and the bank."""
    bank, last = info.field("bank", "a bank's key"), info.field("last_turn", "a turn")
    allowed = f"the key of a bank before a turn of session {session}: {bank_key(sample_id, f'D{session}:1')}"
    try:
        named, first = split_bank_key(bank.text())
    except FieldError as error:
        raise bank.fail(allowed) from error
    if named != sample_id or not first or place_of(first)[0] != session:
        raise bank.fail(allowed)
    learned_before(facts.memories[sample_id], first)  # raises an error if the bank does not open
    try:
        ends = place_of(last.text())
    except ValueError as error:
        raise last.fail(f"a turn of session {session}") from error
    if ends[0] != session or ends < place_of(first):
        raise last.fail(f"a turn of session {session}, {first} or later")
    return first, last.text()


def _check_prompt(node: Node, sample_id: str, session: int, facts: SessionFacts) -> None:
    """Checks that the prompt has a line for the session and lines that somebody says, and nothing else."""
    prompt = node.field("prompt", "chat messages")
    messages = prompt.items("chat messages")
    shown = messages[-1].field("content", "text").text() if messages else ""
    if prompt.value != build_session_prompt(shown):
        raise prompt.fail("the system prompt of sessions, and a message with the session")
    heading, *lines = shown.split("\n")
    dates = {memory.session_date for memory in facts.memories[sample_id] if memory.session == session}
    headings = {session_line(session, date) for date in dates}
    if heading not in headings if headings else not heading.startswith(session_line(session, "")):
        raise Node(heading, node.file, f"{node.place}.prompt, line 1").fail(
            " or ".join(repr(one) for one in sorted(headings or {session_line(session, "")}))
        )
    starts = tuple(f"{name}:" for name in facts.speakers.get(sample_id, ()))
    if not lines:
        raise prompt.fail("at least one turn of the session")
    for number, line in enumerate(lines, 2):
        if not line.startswith(starts):
            allowed = f"what somebody says: a line that starts with {' or '.join(starts)}"
            raise Node(line, node.file, f"{node.place}.prompt, line {number}").fail(allowed)
