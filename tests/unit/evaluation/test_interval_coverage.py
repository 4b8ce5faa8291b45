"""How often a nominal 95 % interval holds the truth, in simulated data whose truth is known.

Clusters have 3 to 90 observations (log-normal sizes). An observation is the effect of its cluster, plus noise whose
standard deviation is twice that of the effects. The truth is 0. Effects are normal, heavy-tailed (t with 5 degrees of
freedom) or skewed (gamma with shape 4, skewness 1). A bootstrap of whole clusters covers 73 % with 3 of these clusters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from memupdate.evaluation.intervals import half_width, half_width_over_seeds, mean_interval

REPETITIONS = 10_000  # the standard error of a coverage of 0.95 is 0.002
Effects = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

EFFECTS: dict[str, Effects] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy": lambda rng, shape: rng.standard_t(5, shape) * np.sqrt(3 / 5),
    "skewed": lambda rng, shape: (rng.standard_gamma(4, shape) - 4) / 2,
}


def sizes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.clip(np.round(np.exp(rng.normal(2.7, 0.8, shape))), 3, 90)


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("noise", [0, 2])
@pytest.mark.parametrize("clusters", [3, 8, 10, 20])
def test_the_interval_of_one_run_covers(clusters: int, noise: float, effects: str) -> None:
    rng = np.random.default_rng(clusters)
    shape = (REPETITIONS, clusters)
    means_RC = EFFECTS[effects](rng, shape) + noise * rng.standard_normal(shape) / np.sqrt(sizes(rng, shape))
    covered = np.abs(means_RC.mean(-1)) <= half_width(means_RC)
    assert covered.mean() >= 0.93


@pytest.mark.parametrize(("seeds", "clusters"), [(2, 8), (3, 3), (3, 8), (3, 20), (5, 10)])
@pytest.mark.parametrize("between_seeds", [0, 0.3, 1, 3])
def test_the_interval_of_several_seeds_covers(seeds: int, clusters: int, between_seeds: float) -> None:
    """Seeds have effects of their own, and so has each seed in each cluster."""
    rng = np.random.default_rng(seeds)
    count = REPETITIONS // 4
    of_seed = between_seeds * rng.standard_normal((count, seeds, 1))
    noise = 2 * rng.standard_normal((count, seeds, clusters)) / np.sqrt(sizes(rng, (count, 1, clusters)))
    means_RSC = EFFECTS["skewed"](rng, (count, 1, clusters)) + of_seed + noise
    covered = np.abs(means_RSC.mean((-1, -2))) <= half_width_over_seeds(means_RSC)
    assert covered.mean() >= 0.93


def test_single_observations_give_the_simulated_interval() -> None:
    """``mean_interval`` gets observations in any order and of unequal numbers, the simulations get their means."""
    rng = np.random.default_rng(0)
    rows = [
        (value, cluster, seed)
        for seed in range(3)
        for cluster in range(8)
        for value in rng.normal(cluster, 1, rng.integers(1, 9))
    ]
    means_SC = np.array(
        [[np.mean([v for v, c, s in rows if (c, s) == (cluster, seed)]) for cluster in range(8)] for seed in range(3)]
    )
    values, clusters, seeds = zip(*(rows[index] for index in rng.permutation(len(rows))), strict=True)
    both = mean_interval(values, clusters, seeds)
    assert both.high - both.mean == pytest.approx(float(half_width_over_seeds(means_SC)))
    first = [(v, c) for v, c, s in rows if s == 0]
    one = mean_interval([v for v, _ in first], [c for _, c in first])
    assert one.high - one.mean == pytest.approx(float(half_width(means_SC[0])))
