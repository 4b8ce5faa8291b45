"""Rows that stock verl trains on. A row is one episode: a question, or a part of a session.

Each rollout of a row is a trajectory.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa

from memupdate.data.bank_keys import bank_key
from memupdate.data.conversation import ADVERSARIAL, Question
from memupdate.data.episodes import QUESTION, SESSION, SessionPart
from memupdate.data.prompts import build_prompt, build_session_prompt
from memupdate.data.questions import StoredQuestion

AGENT_NAME = "memory_agent"
# What LoCoMo's evaluation accepts as the right reply to an adversarial question.
ABSTENTION = "No information available"
# In a session episode: no question, and a category that no question has.
NO_QUESTION = -1
SESSION_CATEGORY = 0

ROW_SCHEMA = pa.schema(
    [
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("data_source", pa.string()),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("agent_name", pa.string()),
        (
            "extra_info",
            pa.struct(
                [
                    ("split", pa.string()),
                    ("index", pa.int64()),
                    ("sample_id", pa.string()),
                    ("qa_index", pa.int64()),
                    ("namespace", pa.string()),
                    ("question", pa.string()),
                    ("answer", pa.string()),
                    ("category", pa.int64()),
                    ("evidence", pa.list_(pa.string())),
                    ("adversarial_answer", pa.string()),
                    ("episode", pa.string()),
                    ("session", pa.int64()),
                    ("part", pa.int64()),
                    ("parts", pa.int64()),
                    ("bank", pa.string()),
                    ("last_turn", pa.string()),
                ]
            ),
        ),
    ]
)


def trajectory_id(sample_id: str, qa_index: int, seed: int) -> str:
    """Returns ``{sample_id}-qa{index}-{8 hex digits}``, the same in every run with the same seed.

    The namespace of a rollout starts with it. Each rollout of a group appends a suffix of its own.
    """
    digest = hashlib.sha256(f"{seed}:{sample_id}:{qa_index}".encode()).hexdigest()
    return f"{sample_id}-qa{qa_index}-{digest[:8]}"


def session_trajectory_id(sample_id: str, session: int, part: int, seed: int) -> str:
    """Returns ``{sample_id}-s{session}p{part}-{8 hex digits}``, which is to a session what ``trajectory_id`` is."""
    digest = hashlib.sha256(f"{seed}:{sample_id}:s{session}p{part}".encode()).hexdigest()
    return f"{sample_id}-s{session}p{part}-{digest[:8]}"


def gold_answer(question: Question) -> str:
    """Returns the answer that the reward compares with.

    It is ``ABSTENTION`` for an adversarial question, whatever the file holds.
    """
    if question.category == ADVERSARIAL:
        return ABSTENTION
    assert question.answer is not None  # load_dataset requires it outside category 5
    return question.answer


def stored_question(question: Question) -> StoredQuestion:
    """Returns a question as the reward reads it."""
    return StoredQuestion(
        question.index, question.text, gold_answer(question), question.category, question.evidence.ids
    )


def build_row(sample_id: str, question: Question, *, dataset: str, split: str, index: int, seed: int) -> dict[str, Any]:
    """Returns the row of a question episode in verl's format, which is ``ROW_SCHEMA``.

    Args:
        sample_id: the conversation; the initial memories are found by it.
        question: the question that the bank is to be prepared for.
        dataset: the dataset's name. verl reports validation figures under it.
        split: "train" or "test".
        index: the row's position in its file.
        seed: part of the trajectory id.
    """
    return _row(
        build_prompt(question.text),
        dataset,
        {
            "split": split,
            "index": index,
            "sample_id": sample_id,
            "qa_index": question.index,
            "namespace": trajectory_id(sample_id, question.index, seed),
            "question": question.text,
            "answer": gold_answer(question),
            "category": question.category,
            "evidence": list(question.evidence.ids),
            "adversarial_answer": question.adversarial_answer,
            "episode": QUESTION,
            "session": 0,
            "part": 0,
            "parts": 0,
            "bank": bank_key(sample_id),
            "last_turn": "",
        },
    )


def build_session_row(
    sample_id: str, shown: SessionPart, *, dataset: str, split: str, index: int, seed: int
) -> dict[str, Any]:
    """Returns the row of a session episode in verl's format, which is ``ROW_SCHEMA``.

    It has no question: question and answer are "", and the category is 0.

    Args:
        sample_id: the conversation.
        shown: the turns that the agent is shown. The bank holds what was learned before the first of them.
        dataset: the dataset's name. verl reports validation figures under it.
        split: "train" or "test".
        index: the row's position in its file.
        seed: part of the trajectory id.
    """
    return _row(
        build_session_prompt(shown.text),
        dataset,
        {
            "split": split,
            "index": index,
            "sample_id": sample_id,
            "qa_index": NO_QUESTION,
            "namespace": session_trajectory_id(sample_id, shown.session, shown.part, seed),
            "question": "",
            "answer": "",
            "category": SESSION_CATEGORY,
            "evidence": [],
            "adversarial_answer": None,
            "episode": SESSION,
            "session": shown.session,
            "part": shown.part,
            "parts": shown.parts,
            "bank": bank_key(sample_id, shown.first_turn),
            "last_turn": shown.last_turn,
        },
    )


def _row(prompt: list[dict[str, str]], dataset: str, extra_info: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "data_source": dataset,
        "ability": "memory",
        "reward_model": {"style": "memory", "ground_truth": extra_info["answer"]},
        "agent_name": AGENT_NAME,
        "extra_info": extra_info,
    }
