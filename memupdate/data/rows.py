"""Rows that stock verl trains on: one question of one conversation is one trajectory."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa

from memupdate.data.conversation import ADVERSARIAL, Question
from memupdate.data.prompts import build_prompt

DATA_SOURCE = "locomo"
AGENT_NAME = "memory_agent"
TOOL_NAMES = (
    "search_memory",
    "manage_memory",
    "delete_memory",
    "sample_memory",
    "merge_memory",
    "split_memory",
)
# What LoCoMo's evaluation accepts as the right reply to an adversarial question.
ABSTENTION = "No information available"

_CREATE_KWARGS = pa.struct([("namespace", pa.string()), ("sample_id", pa.string())])
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
                    ("need_tools_kwargs", pa.bool_()),
                    (
                        "tools_kwargs",
                        pa.struct([(tool, pa.struct([("create_kwargs", _CREATE_KWARGS)])) for tool in TOOL_NAMES]),
                    ),
                ]
            ),
        ),
    ]
)


def trajectory_id(sample_id: str, qa_index: int, seed: int) -> str:
    """``{sample_id}-qa{index}-{8 hex}``: the namespace of a trajectory's bank, the same in every run with the seed.

    Each rollout of a group appends a suffix of its own.
    """
    digest = hashlib.sha256(f"{seed}:{sample_id}:{qa_index}".encode()).hexdigest()
    return f"{sample_id}-qa{qa_index}-{digest[:8]}"


def gold_answer(question: Question) -> str:
    """The answer that the reward compares with; abstention for adversarial questions, whatever the file holds."""
    if question.category == ADVERSARIAL:
        return ABSTENTION
    assert question.answer is not None  # the loader requires it outside category 5
    return question.answer


def build_row(sample_id: str, question: Question, *, split: str, index: int, seed: int) -> dict[str, Any]:
    """One row in verl's schema (``ROW_SCHEMA``).

    Args:
        sample_id: the conversation, by which the initial memories are found.
        question: the question to prepare the bank for.
        split: "train" or "test".
        index: the row's position in its file.
        seed: goes into the trajectory id.
    """
    namespace = trajectory_id(sample_id, question.index, seed)
    answer = gold_answer(question)
    create_kwargs = {"namespace": namespace, "sample_id": sample_id}
    return {
        "prompt": build_prompt(question.text),
        "data_source": DATA_SOURCE,
        "ability": "memory",
        "reward_model": {"style": "memory", "ground_truth": answer},
        "agent_name": AGENT_NAME,
        "extra_info": {
            "split": split,
            "index": index,
            "sample_id": sample_id,
            "qa_index": question.index,
            "namespace": namespace,
            "question": question.text,
            "answer": answer,
            "category": question.category,
            "evidence": list(question.evidence.ids),
            "adversarial_answer": question.adversarial_answer,
            "need_tools_kwargs": True,
            "tools_kwargs": {tool: {"create_kwargs": create_kwargs} for tool in TOOL_NAMES},
        },
    }
