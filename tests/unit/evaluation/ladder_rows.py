"""Rollouts and programs' rows written by hand, for tests of the ladder."""

from __future__ import annotations

from typing import Any

from memupdate.evaluation.comparison import Row
from memupdate.evaluation.references import PROGRAM_RUNGS, References

PROGRAMS = dict(zip(PROGRAM_RUNGS, ("do nothing", "keep everything", "a note of each answer"), strict=True))


def reward(value: float, **others: float) -> dict[str, float]:
    """The parts of a ``budgeted`` reward and the counts, in which only what is named differs from 0."""
    names = (
        *("delta", "delta_shown", "delta_hidden", "qa_before", "qa_after", "qa_hidden_after", "storage_cost"),
        *("refund", "growth", "characters_before", "characters_after", "read_characters", "reward_error"),
        *("turns", "malformed_calls", "unknown_calls", "ignored_calls"),
        *("calls_search", "calls_manage", "errors_search", "errors_manage", "category"),
    )
    return {"reward": value, **dict.fromkeys(names, 0.0), **others}


def rollout(key: str, row: str, conversation: str, value: float, **others: float) -> dict[str, Any]:
    """A line of a trace."""
    return {"key": key, "row": row, "sample_id": conversation, "reward": reward(value, **others)}


def references(nothing: dict[str, Row], constant: dict[str, Row], oracle: dict[str, Row]) -> References:
    """What programs earn, by row."""
    rungs = dict(zip(PROGRAM_RUNGS, (nothing, constant, oracle), strict=True))
    return References(PROGRAMS, 200, {"do nothing": 0.0, "keep everything": 0.1}, rungs)


def program_rows(rewards: dict[str, tuple[str, float]], **others: float) -> dict[str, Row]:
    """A program's rows: conversation and reward by row."""
    return {row: {"sample_id": sample, "reward": reward(value, **others)} for row, (sample, value) in rewards.items()}
