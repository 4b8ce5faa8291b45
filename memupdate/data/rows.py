"""Rows that stock verl trains on. One question of one conversation is one row, and each rollout of it a trajectory."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa

from memupdate.data.conversation import ADVERSARIAL, Question
from memupdate.data.prompts import build_prompt

AGENT_NAME = "memory_agent"
# What LoCoMo's evaluation accepts as the right reply to an adversarial question.
ABSTENTION = "No information available"

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


def gold_answer(question: Question) -> str:
    """Returns the answer that the reward compares with.

    It is ``ABSTENTION`` for an adversarial question, whatever the file holds.
    """
    if question.category == ADVERSARIAL:
        return ABSTENTION
    assert question.answer is not None  # load_dataset requires it outside category 5
    return question.answer


def build_row(sample_id: str, question: Question, *, dataset: str, split: str, index: int, seed: int) -> dict[str, Any]:
    """Returns one row in verl's format, which is ``ROW_SCHEMA``.

    Args:
        sample_id: the conversation; the initial memories are found by it.
        question: the question that the bank is to be prepared for.
        dataset: the dataset's name. verl reports validation figures under it.
        split: "train" or "test".
        index: the row's position in its file.
        seed: part of the trajectory id.
    """
    answer = gold_answer(question)
    return {
        "prompt": build_prompt(question.text),
        "data_source": dataset,
        "ability": "memory",
        "reward_model": {"style": "memory", "ground_truth": answer},
        "agent_name": AGENT_NAME,
        "extra_info": {
            "split": split,
            "index": index,
            "sample_id": sample_id,
            "qa_index": question.index,
            "namespace": trajectory_id(sample_id, question.index, seed),
            "question": question.text,
            "answer": answer,
            "category": question.category,
            "evidence": list(question.evidence.ids),
            "adversarial_answer": question.adversarial_answer,
        },
    }
