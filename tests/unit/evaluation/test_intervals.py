"""Cluster bootstrap against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from memupdate.errors import FieldError
from memupdate.evaluation.intervals import Interval, cluster_bootstrap


def test_mean_and_normal_limits_for_independent_observations() -> None:
    """With singleton clusters the interval is the usual mean +- 1.96 s / sqrt(n), within bootstrap noise."""
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    interval = cluster_bootstrap(values.tolist(), list(range(400)))
    half = 1.96 * values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.01)


def test_copies_of_a_cluster_do_not_narrow_the_interval() -> None:
    values = [0.0, 1.0, 2.0, 5.0]
    once = cluster_bootstrap(values, range(4))
    copied = cluster_bootstrap([v for v in values for _ in range(50)], [c for c in range(4) for _ in range(50)])
    assert copied == once


def test_excludes_zero() -> None:
    assert Interval(1, 0.1, 2).excludes_zero()
    assert Interval(-1, -2, -0.1).excludes_zero()
    assert not Interval(0, 0, 0).excludes_zero()
    assert not Interval(1, -0.1, 2).excludes_zero()


@pytest.mark.parametrize(
    ("values", "clusters", "level", "field"),
    [([], [], 0.95, "values"), ([1.0], [1, 2], 0.95, "clusters"), ([1.0], [1], 1.0, "level")],
)
def test_wrong_arguments_name_the_field(values: list, clusters: list, level: float, field: str) -> None:
    with pytest.raises(FieldError, match=field):
        cluster_bootstrap(values, clusters, level)
