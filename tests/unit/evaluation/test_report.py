"""The before-and-after report, from traces written by hand.

Rows U38.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memupdate.errors import DataError
from memupdate.evaluation import report

PARTS = dict.fromkeys(report.REWARD_PARTS, 0.0)


def trace(run_dir: Path, step: int, rows: list[tuple[str, str, int, float]]) -> None:
    (run_dir / "trace").mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "key": key,
            "sample_id": sample,
            "reward": {**PARTS, "category": float(category), "reward": value, "turns": 2.0},
        }
        for key, sample, category, value in rows
    ]
    (run_dir / "trace" / f"validation-{step:06d}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")


def test_u38_report_pairs_rollouts_and_reports_parts_and_categories(tmp_path: Path) -> None:
    trace(tmp_path, 0, [("a", "c1", 1, 0.1), ("b", "c2", 4, 0.3)])
    trace(tmp_path, 5, [("b", "c2", 4, 0.3), ("a", "c1", 1, 0.5)])  # another order
    trace(tmp_path, 3, [("a", "c1", 1, 9.0), ("b", "c2", 4, 9.0)])  # in between: not compared
    result = report.compare(tmp_path)
    assert result.steps == (0, 5)
    assert result.n == 2
    assert result.conversations == ("c1", "c2")
    reward = result.figures["reward"]
    assert (reward.before.mean, reward.after.mean) == (pytest.approx(0.2), pytest.approx(0.4))
    assert reward.difference.mean == pytest.approx(0.2)
    assert (reward.difference.low, reward.difference.high) == (pytest.approx(0.0), pytest.approx(0.4))
    assert result.categories[1][0] == 1
    assert result.categories[1][1].difference.mean == pytest.approx(0.4)
    assert result.figures["turns"].difference.mean == 0
    text = report.render(result)
    assert "multi-hop (n=1)" in text
    assert all(part in text for part in report.REWARD_PARTS)


def test_report_is_written_as_json_and_text(tmp_path: Path) -> None:
    trace(tmp_path, 0, [("a", "c1", 1, 0.1)])
    trace(tmp_path, 1, [("a", "c1", 1, 0.2)])
    report.write(report.compare(tmp_path), tmp_path)
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["figures"]["reward"]["difference"]["mean"] == pytest.approx(0.1)
    assert (tmp_path / "report.txt").read_text() == report.render(report.compare(tmp_path)) + "\n"


def test_one_validation_is_not_a_comparison(tmp_path: Path) -> None:
    trace(tmp_path, 0, [("a", "c1", 1, 0.1)])
    with pytest.raises(DataError, match="1 validation traces"):
        report.compare(tmp_path)
