"""Training runs of several seeds compared, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from memupdate.errors import FieldError
from memupdate.evaluation.comparison import compare_changes, compare_pairs

Rows = list[tuple[dict[str, Any], dict[str, Any]]]
T_OF_TWO = 4.302653  # Student's t for 0.975 and two degrees of freedom
T_OF_ONE = 12.706205  # for one


def run(*rollouts: tuple[str, str, float, float]) -> Rows:
    """The pairs of one run from (key, conversation, reward before, reward after)."""
    return [
        (
            {"key": key, "sample_id": conversation, "reward": {"reward": before}},
            {"key": key, "sample_id": conversation, "reward": {"reward": after}},
        )
        for key, conversation, before, after in rollouts
    ]


def test_the_variation_between_training_runs_widens_the_interval() -> None:
    """Changes of 0, 0.3 and 0.6 in three runs, the same in both conversations: between conversations varies nothing."""
    runs = [run(("a", "c1", 0.1, 0.1 + change), ("b", "c2", 0.2, 0.2 + change)) for change in (0.0, 0.3, 0.6)]
    change = compare_pairs(runs, "reward").difference
    half = T_OF_TWO * 0.3 / math.sqrt(3)
    assert (change.mean, change.low, change.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-6)
    assert (change.clusters, change.seeds) == (2, 3)
    assert not change.excludes_zero()  # each run alone has an interval of width 0


def test_before_and_after_have_intervals_of_their_own() -> None:
    runs = [run(("a", "c1", 0.1, 0.5), ("b", "c2", 0.3, 0.5))] * 2
    comparison = compare_pairs(runs, "reward")
    assert (comparison.before.mean, comparison.after.mean) == pytest.approx((0.2, 0.5))
    assert comparison.before.high == pytest.approx(0.2 + T_OF_ONE * 0.1, abs=1e-6)
    assert comparison.after.high == pytest.approx(0.5)


def test_a_change_is_paired_with_that_of_the_same_rollout_in_the_control() -> None:
    """Of each seed's rollouts only a and b have a counterpart. Their changes exceed the control's by 0.2 and 0.4."""
    treated = run(("a", "c1", 0.1, 0.4), ("b", "c2", 0.0, 0.9), ("c", "c2", 0.0, 9.0))
    control = run(("b", "c2", 0.0, 0.5), ("a", "c1", 0.1, 0.2), ("d", "c1", 0.0, 9.0))
    count, difference = compare_changes([treated, treated], [control, control], "reward")
    assert count == 4
    assert difference.mean == pytest.approx(0.3)
    assert difference.high == pytest.approx(0.3 + T_OF_ONE * 0.1, abs=1e-6)
    assert (difference.clusters, difference.seeds) == (2, 2)


def test_a_run_without_rollouts_is_not_passed_over() -> None:
    one = run(("a", "c1", 0.1, 0.4), ("b", "c2", 0.0, 0.9))
    with pytest.raises(FieldError, match="no rollout to compare in run 1"):
        compare_pairs([one, []], "reward")
    other = run(("x", "c1", 0.1, 0.4))
    with pytest.raises(FieldError, match="no rollout to compare in run 0"):
        compare_changes([other, one], [one, one], "reward")
    with pytest.raises(FieldError, match=r"none of seed 1 in cluster .*c2"):
        compare_pairs([one, run(("a", "c1", 0.1, 0.4))], "reward")
