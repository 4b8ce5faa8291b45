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


def trace(run_dir: Path, step: int, rows: list[tuple[str, str, int, float]], failed: str = "") -> None:
    """Writes one validation; the rollouts whose keys are letters of ``failed`` could not be scored."""
    (run_dir / "trace").mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "key": key,
            "sample_id": sample,
            "reward": {
                **PARTS,
                "category": float(category),
                "reward": value,
                "turns": 2.0,
                "reward_error": float(key in failed),
            },
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
    # Differences 0.4 and 0 in two conversations: error 0.2, and t is 12.706205 with one degree of freedom.
    assert reward.difference.low == pytest.approx(0.2 - 12.706205 * 0.2)
    assert reward.difference.high == pytest.approx(0.2 + 12.706205 * 0.2)
    assert result.categories[1][0] == 1
    assert result.categories[1][1].difference.mean == pytest.approx(0.4)
    assert result.figures["turns"].difference.mean == 0
    text = report.render(result)
    assert "multi-hop (n=1)" in text
    assert all(part in text for part in report.REWARD_PARTS)


def test_rollouts_that_failed_or_have_no_partner_are_counted_and_not_averaged(tmp_path: Path) -> None:
    """By hand: a and b are scored on both sides, c failed before, d failed after, e and f were never rolled out again.

    Means are over a and b: before (0.2 + 0.4) / 2, after (0.3 + 0.9) / 2. c's and d's other sides have no partner.
    """
    rows = [("a", "c1", 1, 0.2), ("b", "c2", 4, 0.4), ("c", "c2", 4, -0.1), ("d", "c3", 2, 0.8), ("e", "c3", 2, 0.8)]
    trace(tmp_path, 0, rows, failed="c")
    later = [("f", "c4", 3, 0.7), ("d", "c3", 2, -0.1), ("c", "c2", 4, 0.6), ("b", "c2", 4, 0.9), ("a", "c1", 1, 0.3)]
    trace(tmp_path, 7, later, failed="d")
    result = report.compare(tmp_path)
    assert result.n == 2
    assert (result.failed.before, result.failed.after) == (1, 1)
    assert (result.unpaired.before, result.unpaired.after) == (2, 2)  # d and e; c and f
    reward = result.figures["reward"]
    assert reward.before.mean == pytest.approx(0.3)
    assert reward.after.mean == pytest.approx(0.6)
    assert reward.difference.mean == pytest.approx(0.3)
    assert result.conversations == ("c1", "c2")
    assert {category: n for category, (n, _) in result.categories.items()} == {1: 1, 4: 1}
    assert "reward_error" not in result.figures
    saved = result.to_json()
    assert saved["failed"] == {"before": 1, "after": 1} and saved["unpaired"] == {"before": 2, "after": 2}
    text = report.render(result)
    assert text.startswith("2 rollouts, 2 conversations")
    assert "left out, failed: 1 before, 1 after; unpaired: 2 before, 2 after" in text


def test_a_report_that_leaves_nothing_out_does_not_say_so(tmp_path: Path) -> None:
    trace(tmp_path, 0, [("a", "c1", 1, 0.1)])
    trace(tmp_path, 1, [("a", "c1", 1, 0.2)])
    assert "left out" not in report.render(report.compare(tmp_path))


def test_validations_without_a_pair_are_not_a_comparison(tmp_path: Path) -> None:
    trace(tmp_path, 0, [("a", "c1", 1, 0.1), ("b", "c1", 1, 0.1)], failed="a")
    trace(tmp_path, 4, [("a", "c1", 1, 0.1), ("b", "c1", 1, 0.1)], failed="b")
    with pytest.raises(DataError, match="no held-out rollout was scored both at step 0 and at step 4"):
        report.compare(tmp_path)


def test_every_interval_names_its_method_and_its_conversations(tmp_path: Path) -> None:
    """Category 1 is asked in both conversations, category 4 in one, which gives a mean and no interval."""
    rows = [("a", "c1", 1, 0.1), ("b", "c1", 1, 0.2), ("c", "c2", 1, 0.4), ("d", "c2", 4, 0.6)]
    trace(tmp_path, 0, rows)
    trace(tmp_path, 1, [(key, sample, category, value + 0.1 * len(sample)) for key, sample, category, value in rows])
    result = report.compare(tmp_path)
    saved = result.to_json()
    assert saved["figures"]["reward"]["before"] == {
        "mean": pytest.approx((0.15 + 0.5) / 2),  # the mean of the two conversations
        "low": pytest.approx(0.325 - 12.706205 * 0.175),
        "high": pytest.approx(0.325 + 12.706205 * 0.175),
        "level": 0.95,
        "method": "Student's t on cluster means",
        "clusters": 2,
        "seeds": 1,
    }
    alone = saved["categories"]["4"]["reward"]["difference"]
    assert (alone["mean"], alone["low"], alone["high"]) == (pytest.approx(0.2), None, None)
    assert (alone["method"], alone["clusters"]) == ("no interval: one cluster", 1)
    text = report.render(result)
    assert (
        "mean over conversations [95 % interval], one training run; "
        "Student's t on cluster means; no interval: one cluster\n"
    ) in text
    [line] = [line for line in text.splitlines() if line.startswith("4 single-hop (n=1)")]
    numbers = "1 0.6000 no interval 0.8000 no interval 0.2000 no interval"
    assert line.split("(n=1)")[1].split() == numbers.split()
    [line] = [line for line in text.splitlines() if line.startswith("1 multi-hop (n=3)")]
    assert line.split("(n=3)")[1].split()[0] == "2"


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


def test_session_episodes_are_a_category_of_their_own(tmp_path: Path) -> None:
    for step, reward in ((0, 0.1), (4, 0.2)):
        trace(tmp_path, step, [("a", "c1", 0, reward), ("b", "c2", 0, reward)])
    assert "0 session (n=2)" in report.render(report.compare(tmp_path))
