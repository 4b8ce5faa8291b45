"""Metrics on disk.

Rows U36, U38.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from memupdate.platform.metrics import MetricsFile, by_category, means


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


def test_means_skip_what_a_row_lacks() -> None:
    rows = [{"a": 1, "b": None}, {"a": 3, "b": 4.0, "name": "x"}]
    assert means(rows) == {"a": 2.0, "b": 4.0}


def test_u38_validation_is_reported_per_category_with_n() -> None:
    rows = [
        {"category": 1.0, "reward": 0.2, "delta": 0.1, "qa_before": 0.5, "qa_after": 0.6},
        {"category": 1.0, "reward": 0.4, "delta": 0.3, "qa_before": 0.5, "qa_after": 0.8},
        {"category": 4.0, "reward": 0.0, "delta": 0.0, "qa_before": 1.0, "qa_after": 1.0},
    ]
    figures = by_category(rows, "validation")
    assert figures["validation/category_1/n"] == 2
    assert math.isclose(figures["validation/category_1/reward"], 0.3)
    assert math.isclose(figures["validation/category_1/qa_after"], 0.7)
    assert figures["validation/category_4/n"] == 1
    assert figures["validation/category_4/qa_before"] == 1.0
