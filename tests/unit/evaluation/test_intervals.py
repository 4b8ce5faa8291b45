"""Intervals over clusters and seeds, against SciPy and against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from memupdate.errors import FieldError
from memupdate.evaluation.intervals import Interval, mean_interval, score_interval


def test_one_run_is_students_t_on_the_cluster_means() -> None:
    """Clusters of 1, 2 and 3 values with means 1, 4 and 2, whose sample variance is 7 / 3."""
    interval = mean_interval([1, 3, 5, 2, 1, 3], ["a", "b", "b", "c", "c", "c"])
    half = special.stdtrit(2, 0.975) * math.sqrt(7 / 3 / 3)
    assert interval.mean == pytest.approx(7 / 3)  # each cluster counts once, whatever its size
    assert (interval.low, interval.high) == pytest.approx((7 / 3 - half, 7 / 3 + half))
    assert (interval.clusters, interval.seeds, interval.level) == (3, 1, 0.95)
    assert interval.method == "Student's t on cluster means"


def test_the_level_is_the_quantile_of_t() -> None:
    interval = mean_interval([1, 4, 2, 9], range(4), level=0.8)  # sample variance 38 / 3
    half = special.stdtrit(3, 0.9) * math.sqrt(38 / 3 / 4)
    assert (interval.low, interval.high, interval.level) == pytest.approx((4 - half, 4 + half, 0.8))


def test_copies_of_a_cluster_do_not_narrow_the_interval() -> None:
    values = [0.0, 1.0, 2.0, 5.0]
    once = mean_interval(values, range(4))
    copied = mean_interval([v for v in values for _ in range(50)], [c for c in range(4) for _ in range(50)])
    assert copied == once


def test_one_cluster_has_no_interval() -> None:
    interval = mean_interval([0.1, 0.2, 0.9], ["c"] * 3)
    assert (interval.mean, interval.low, interval.high) == (pytest.approx(0.4), None, None)
    assert (interval.method, interval.clusters) == ("no interval: one cluster", 1)
    assert not interval.excludes_zero()
    over_seeds = mean_interval([0.1, 0.3], ["c", "c"], seeds=[0, 1])
    assert (over_seeds.low, over_seeds.high, over_seeds.clusters, over_seeds.seeds) == (None, None, 1, 2)


def test_the_variation_between_seeds_is_part_of_the_interval() -> None:
    """By hand: means of seeds 1, 2, 6 (error sqrt(7 / 3), t 4.302653) and of clusters 2, 4 (error 1, t 12.706205)."""
    values = [0, 2, 1, 3, 5, 7]
    interval = mean_interval(values, clusters=["a", "b"] * 3, seeds=[0, 0, 1, 1, 2, 2])
    half = math.sqrt(4.302653**2 * 7 / 3 + 12.706205**2)
    assert (interval.low, interval.high) == pytest.approx((3 - half, 3 + half), abs=1e-5)
    assert (interval.clusters, interval.seeds) == (2, 3)
    assert interval.method == "Student's t on cluster means and seed means"


def test_seeds_that_agree_leave_the_interval_over_clusters() -> None:
    one = mean_interval([1, 4, 2], range(3))
    same = mean_interval([1, 4, 2] * 3, [0, 1, 2] * 3, seeds=[0] * 3 + [1] * 3 + [2] * 3)
    assert (same.low, same.high) == pytest.approx((one.low, one.high))


def test_more_rollouts_of_a_seed_do_not_make_it_heavier() -> None:
    clusters, seeds = ["a", "b", "a", "b"], [0, 0, 1, 1]
    once = mean_interval([1.0, 2.0, 5.0, 4.0], clusters, seeds)
    twice = mean_interval([1.0, 2.0, 1.0, 2.0, 5.0, 4.0], clusters[:2] + clusters, seeds[:2] + seeds)
    assert twice == once


def test_a_cluster_that_a_seed_lacks_is_an_error() -> None:
    with pytest.raises(FieldError, match=r"values: .*none of seed 1 in cluster .*b.*; allowed: one in every cluster"):
        mean_interval([1, 2, 3], ["a", "b", "a"], seeds=[0, 0, 1])


def test_right_and_wrong_answers_have_the_exact_interval() -> None:
    """10 of 10 are right: the lower bound p has p^10 = 0.025. Their variance is 0, which says nothing."""
    interval = score_interval([1.0] * 10)
    assert (interval.mean, interval.low, interval.high) == (1, pytest.approx(0.025**0.1), 1)
    assert (interval.method, interval.clusters) == ("exact binomial (Clopper-Pearson)", 10)


def test_other_scores_of_examples_have_students_t() -> None:
    assert score_interval([0.0, 0.5, 1.0]) == mean_interval([0.0, 0.5, 1.0], range(3))
    assert score_interval([0.5]).low is None


def test_excludes_zero() -> None:
    def excludes(low: float | None, high: float | None) -> bool:
        return Interval(0.0, low, high, 0.95, "by hand", 2).excludes_zero()

    assert excludes(0.1, 2) and excludes(-2, -0.1)
    assert not excludes(0, 0) and not excludes(-0.1, 2) and not excludes(None, None)


@pytest.mark.parametrize(
    ("values", "clusters", "seeds", "level", "field"),
    [
        ([], [], None, 0.95, "values"),
        ([1.0, np.nan], [1, 2], None, 0.95, "values"),
        ([1.0], [1, 2], None, 0.95, "clusters"),
        ([1.0], [1], [0, 1], 0.95, "seeds"),
        ([1.0], [1], None, 1.0, "level"),
    ],
)
def test_wrong_arguments_name_the_field(
    values: list[float], clusters: list[int], seeds: list[int] | None, level: float, field: str
) -> None:
    with pytest.raises(FieldError) as caught:
        mean_interval(values, clusters, seeds, level)
    assert caught.value.field == field
