"""Metrics on disk.

Rows U36.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from memupdate.platform.metrics import MetricsFile, means


def test_u36_resume_drops_lines_that_will_be_run_again_and_a_torn_one(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in range(4):
        file.append(step, {"reward": step / 10})
    with file.path.open("a") as raw:
        raw.write('{"step": 4, "rew')
    file.resume_from(2)
    file.append(3, {"reward": 0.5})
    assert [(line["step"], line["reward"]) for line in file.read()] == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.5)]


def test_values_are_plain_json(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append(1, {"nan": math.nan, "flag": True, "text": "x", "number": 3})
    assert json.loads(file.path.read_text()) == {"step": 1, "nan": None, "flag": True, "text": "x", "number": 3.0}


def test_counts_by_value_are_an_object_with_text_keys(tmp_path: Path) -> None:
    """verl counts the groups that a filter left out by their reward: a dictionary among the numbers of a step."""
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append(1, {"_dapo_filtered_reward_counts": {0.5: 2, -0.02: 1}})
    assert json.loads(file.path.read_text()) == {
        "step": 1,
        "_dapo_filtered_reward_counts": {"0.5": 2.0, "-0.02": 1.0},
    }


def test_means_skip_what_a_row_lacks() -> None:
    rows = [{"a": 1, "b": None}, {"a": 3, "b": 4.0, "name": "x"}]
    assert means(rows) == {"a": 2.0, "b": 4.0}
