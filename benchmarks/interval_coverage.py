"""Measures how often intervals with a nominal level of 95 % hold the truth, in simulated data whose truth is known.

    python benchmarks/interval_coverage.py [--quick] [--out FILE] [--repetitions 10000]

An observation is the effect of its cluster, plus the effect of its seed where there are seeds, plus noise. The truth is
0, the standard deviation of cluster effects is 1, and clusters have log-normal sizes from 3 to 90. All methods get the
same data; the bootstraps, which take long, get a tenth of it:

- ``t``: Student's t on cluster means, as in ``memupdate/evaluation/intervals.py``.
- ``percentile_bootstrap``: resampled clusters, the mean of all their observations, its 2.5 % and 97.5 % quantiles. The
  platform's reports used it before, with several seeds pooled.
- ``bootstrap_t``: resampled cluster means, and the quantiles of their t statistic.
- ``t_over_seeds``: the interval for several seeds in ``memupdate/evaluation/intervals.py``.
- ``welch``: the same estimates of variance, with a single quantile of t for Welch's degrees of freedom.
- ``t_pooled``: Student's t on cluster means with the seeds pooled, so that the variation between seeds is left out.

Writes a JSON file with the coverage and the median width of each method.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import common
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from memupdate.evaluation.intervals import LEVEL, half_width, half_width_over_seeds
from memupdate.evaluation.quantiles import student_t

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Bounds = tuple[Floats, Floats]

TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
EFFECTS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy (t, 5 degrees of freedom)": lambda rng, shape: rng.standard_t(5, shape) * np.sqrt(3 / 5),
    "skewed (gamma, skewness 1)": lambda rng, shape: (rng.standard_gamma(4, shape) - 4) / 2,
    "very skewed (exponential, skewness 2)": lambda rng, shape: rng.standard_exponential(shape) - 1,
}
CLUSTERS = (3, 8, 10, 20)
NOISES = (0, 2)  # standard deviation of an observation within its cluster
SEEDS = ((2, 8), (3, 3), (3, 8), (3, 20), (5, 8))  # seeds and clusters
BETWEEN_SEEDS = (0, 0.3, 1, 3)  # standard deviation of the seeds' effects
BATCH = 200  # repetitions whose resamples are in memory together


@dataclass(frozen=True)
class Data:
    """Repetitions of a data set: the means of all clusters, for each seed, and the clusters' sizes."""

    means_RSC: Floats
    sizes_RC: Floats


def simulate(
    rng: np.random.Generator, repetitions: int, seeds: int, clusters: int, effects: str, noise: float, between: float
) -> Data:
    """Draws data sets whose true mean is 0."""
    sizes_RC: Floats = np.clip(np.round(rng.lognormal(2.7, 0.8, (repetitions, clusters))), 3, 90)
    means_RSC = (
        EFFECTS[effects](rng, (repetitions, 1, clusters))
        + between * rng.standard_normal((repetitions, seeds, 1))
        + noise * rng.standard_normal((repetitions, seeds, clusters)) / np.sqrt(sizes_RC[:, None])
    )
    return Data(means_RSC, sizes_RC)


def around(means_RC: Floats, half_R: Floats) -> Bounds:
    return means_RC.mean(-1) - half_R, means_RC.mean(-1) + half_R


def resampled(rng: np.random.Generator, data: Data, resamples: int) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yields in batches the cluster means, and the means and the sizes of the resampled clusters.

    The axes of the last two are the repetition, the resample and the cluster.
    """
    means_RC = data.means_RSC.mean(1)
    for start in range(0, len(means_RC), BATCH):
        means, sizes = means_RC[start : start + BATCH], data.sizes_RC[start : start + BATCH]
        drawn = rng.integers(0, means.shape[1], (len(means), resamples, means.shape[1]))
        row = np.arange(len(means))[:, None, None]
        yield means, means[row, drawn], sizes[row, drawn]


def percentile_bootstrap(rng: np.random.Generator, data: Data, resamples: int) -> Bounds:
    bounds = []
    for _, means_RBC, sizes_RBC in resampled(rng, data, resamples):
        pooled_RB = (means_RBC * sizes_RBC).sum(-1) / sizes_RBC.sum(-1)
        bounds.append(np.quantile(pooled_RB, TAILS, axis=1))
    low, high = np.concatenate(bounds, axis=1)
    return low, high


def bootstrap_t(rng: np.random.Generator, data: Data, resamples: int) -> Bounds:
    """A resample of equal clusters has no t statistic. It counts as an infinite one, on the side of its mean."""
    lows, highs = [], []
    for means_RC, means_RBC, _ in resampled(rng, data, resamples):
        count = means_RC.shape[-1]
        error_R = means_RC.std(-1, ddof=1) / np.sqrt(count)
        shift_RB = means_RBC.mean(-1) - means_RC.mean(-1)[:, None]
        with np.errstate(divide="ignore"):
            statistic_RB = shift_RB / (means_RBC.std(-1, ddof=1) / np.sqrt(count))
        low_R, high_R = np.quantile(statistic_RB, TAILS, axis=1, method="nearest")
        lows.append(means_RC.mean(-1) - high_R * error_R)
        highs.append(means_RC.mean(-1) - low_R * error_R)
    return np.concatenate(lows), np.concatenate(highs)


def welch(means_RSC: Floats) -> Floats:
    """Returns half the width of the interval with Welch's degrees of freedom, rounded down to a whole number."""
    seeds, clusters = means_RSC.shape[1:]
    of_seeds_R = means_RSC.mean(2).var(1, ddof=1) / seeds
    of_clusters_R = means_RSC.mean(1).var(1, ddof=1) / clusters
    variance_R = of_seeds_R + of_clusters_R
    degrees_R = variance_R**2 / (of_seeds_R**2 / (seeds - 1) + of_clusters_R**2 / (clusters - 1))
    half_R: Floats = np.array([student_t(LEVEL, max(1, int(one))) for one in degrees_R]) * np.sqrt(variance_R)
    return half_R


def measured(bounds: dict[str, Bounds]) -> dict[str, dict[str, float | None]]:
    """Returns the share of a method's intervals that hold 0, and their median width; None if that is infinite."""
    figures: dict[str, dict[str, float | None]] = {}
    for name, (low, high) in bounds.items():
        width = float(np.median(high - low))
        figures[name] = {
            "coverage": round(float(((low <= 0) & (high >= 0)).mean()), 4),
            "median_width": round(width, 4) if np.isfinite(width) else None,
        }
    return figures


def one_run(rng: np.random.Generator, repetitions: int, resamples: int) -> Iterator[dict[str, object]]:
    """Yields the coverage with a single training run, for each number and kind of clusters."""
    for effects, noise, clusters in tqdm([*product(EFFECTS, NOISES, CLUSTERS)], "one run"):
        data = simulate(rng, repetitions, 1, clusters, effects, noise, between=0)
        means_RC = data.means_RSC[:, 0]
        few = Data(data.means_RSC[: repetitions // 10], data.sizes_RC[: repetitions // 10])
        found = measured(
            {
                "t": around(means_RC, half_width(means_RC)),
                "percentile_bootstrap": percentile_bootstrap(rng, few, resamples),
                "bootstrap_t": bootstrap_t(rng, few, resamples),
            }
        )
        yield {"effects": effects, "noise": noise, "clusters": clusters, **found}


def several_seeds(rng: np.random.Generator, repetitions: int, resamples: int) -> Iterator[dict[str, object]]:
    """Yields the coverage with several training runs, for each variation between them."""
    for (seeds, clusters), between in tqdm([*product(SEEDS, BETWEEN_SEEDS)], "several seeds"):
        data = simulate(rng, repetitions, seeds, clusters, "normal", 2, between)
        means_RC = data.means_RSC.mean(1)
        few = Data(data.means_RSC[: repetitions // 10], data.sizes_RC[: repetitions // 10])
        found = measured(
            {
                "t_over_seeds": around(means_RC, half_width_over_seeds(data.means_RSC)),
                "welch": around(means_RC, welch(data.means_RSC)),
                "t_pooled": around(means_RC, half_width(means_RC)),
                "percentile_bootstrap": percentile_bootstrap(rng, few, resamples),
            }
        )
        yield {"seeds": seeds, "clusters": clusters, "between_seeds": between, **found}


def main() -> None:
    parser = common.arguments("interval_coverage", __doc__)
    parser.add_argument("--repetitions", type=int, default=10_000, help="data sets of each kind (default: 10000)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    repetitions, resamples = (200, 50) if options.quick else (options.repetitions, 1000)
    rng = np.random.default_rng(0)
    figures = {
        "level": LEVEL,
        "seed": 0,
        "repetitions": repetitions,
        "repetitions_of_bootstraps": repetitions // 10,
        "resamples": resamples,
        "one_run": list(one_run(rng, repetitions, resamples)),
        "several_seeds": list(several_seeds(rng, repetitions, resamples)),
    }
    common.write(options.out, figures)
    logger.info("wrote %s", options.out)


if __name__ == "__main__":
    main()
