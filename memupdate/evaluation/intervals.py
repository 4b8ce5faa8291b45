"""Confidence intervals for scores in clusters, from one training run or from several.

Questions of one conversation share a memory bank, and rollouts of one question share the question. They are not
independent, so an interval over single rollouts is too narrow. What is independent is the conversations, and, if
training was repeated, the training runs with their seeds.

**What is estimated.** The expected score in a new conversation. Scores are averaged within each cluster (conversation),
and then over the clusters, each with the same weight. A long conversation therefore counts as much as a short one.

**One training run.** Student's t on the cluster means, with one degree of freedom fewer than clusters. It is exact for
normal means with equal variances. Clusters of unequal size have means of unequal variance. With normal means, the
interval then covers at least its level, if that is 0.92 or more (Bakirov and Szekely, Student's t-test for Gaussian
scale mixtures, 2005; Ibragimov and Mueller, t-statistic based correlation and heterogeneity robust inference, Journal
of Business and Economic Statistics 28, 2010). A mean weighted by size has no such guarantee with few clusters.

**Several seeds.** Every seed is a training run that answers the same conversations. The score of seed s in conversation
c is mu + a_s + b_c + e_sc. The variance of the mean over S seeds and C conversations is A + B - D: A is the variance of
the mean of the S seeds' means, B that of the mean of the C conversations' means, and D = var(e) / (S C), which A and B
both contain. With s_A^2 and s_B^2, the usual estimates of A and B, and t_S and t_C, the quantiles for S - 1 and C - 1
degrees of freedom, the half width is

    sqrt(t_S^2 s_A^2 + t_C^2 s_B^2).

For normal effects it covers at least its level. The distribution function F of a squared standard normal variable is
concave, so with w = A / (A + B) and the expectation E over s_A and s_B the coverage is at least

    E F(w t_S^2 s_A^2 / A + (1 - w) t_C^2 s_B^2 / B) >= w E F(t_S^2 s_A^2 / A) + (1 - w) E F(t_C^2 s_B^2 / B),

and both expectations on the right are the level, by the definition of t (Banerjee, On confidence interval for two-means
problem based on separate estimates of variances and tabulated values of t-table, Sankhya A 23, 1961). The usual
alternative, one quantile with Welch's degrees of freedom, covers as little as 0.90 with two seeds.

``benchmarks/interval_coverage.py`` measures the coverage with other distributions. If all clusters have the same mean,
the data show no variance and the interval is one point.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memupdate.errors import FieldError
from memupdate.evaluation.quantiles import proportion_bounds, student_t

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
OVER_CLUSTERS = "Student's t on cluster means"
OVER_CLUSTERS_AND_SEEDS = "Student's t on cluster means and seed means"
EXACT_BINOMIAL = "exact binomial (Clopper-Pearson)"
NO_INTERVAL = "no interval: one cluster"


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval.

    Attributes:
        mean: the mean.
        low: the lower bound; None if there is no interval.
        high: the upper bound; None if there is no interval.
        level: the confidence level.
        method: how the interval was computed, or why there is none.
        clusters: the number of clusters. A mean of single examples has one cluster per example.
        seeds: the number of training runs. With 1, the interval does not include the variation between runs.
    """

    mean: float
    low: float | None
    high: float | None
    level: float
    method: str
    clusters: int
    seeds: int = 1

    def excludes_zero(self) -> bool:
        """Returns whether there is an interval and all of it is on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def half_width(means_XC: Floats, level: float = LEVEL) -> Floats:
    """Returns half the width of Student's t interval for the mean of independent means.

    Args:
        means_XC: the means, on the last axis; at least two.
        level: the confidence level, in (0, 1).

    Returns:
        One half width per row of the other axes.
    """
    count = means_XC.shape[-1]
    error_X: Floats = means_XC.std(-1, ddof=1) / np.sqrt(count)
    return student_t(level, count - 1) * error_X


def half_width_over_seeds(means_XSC: Floats, level: float = LEVEL) -> Floats:
    """Returns half the width of the interval for the mean over seeds and clusters (see the module).

    Args:
        means_XSC: the mean of each seed (second to last axis, at least two) in each cluster (last axis, at least two).
        level: the confidence level, in (0, 1).

    Returns:
        One half width per row of the other axes.
    """
    return np.hypot(half_width(means_XSC.mean(-1), level), half_width(means_XSC.mean(-2), level))


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    seeds: Sequence[Hashable] | None = None,
    level: float = LEVEL,
) -> Interval:
    """Returns the mean over clusters, and its interval.

    Each seed has the same weight, and so has each cluster. With a single cluster there is no interval.

    Args:
        values: one score per observation.
        clusters: the cluster of each observation, as many as ``values``.
        seeds: the seed of each observation's training run, as many as ``values``; None for a single run.
        level: the confidence level, in (0, 1).

    Raises:
        FieldError: there are no values, one is not finite, the lengths differ, a seed has no value in a cluster that
            another seed has, or the level is outside (0, 1).
    """
    _check(values, level)
    runs = [0] * len(values) if seeds is None else seeds
    for field, labels in (("clusters", clusters), ("seeds", runs)):
        if len(labels) != len(values):
            raise FieldError(field, f"{len(labels)} labels", f"{len(values)}, one per value")
    means_SC = _table(values, clusters, runs)
    seed_count, cluster_count = means_SC.shape
    mean = float(means_SC.mean())
    if cluster_count == 1:
        return Interval(mean, None, None, level, NO_INTERVAL, cluster_count, seed_count)
    if seed_count == 1:
        half, method = float(half_width(means_SC[0], level)), OVER_CLUSTERS
    else:
        half, method = float(half_width_over_seeds(means_SC, level)), OVER_CLUSTERS_AND_SEEDS
    return Interval(mean, mean - half, mean + half, level, method, cluster_count, seed_count)


def _table(values: Sequence[float], clusters: Sequence[Hashable], seeds: Sequence[Hashable]) -> Floats:
    """Returns the mean of each seed (row) in each cluster (column)."""
    cells: dict[tuple[Hashable, Hashable], list[float]] = defaultdict(list)
    for value, cluster, seed in zip(values, clusters, seeds, strict=True):
        cells[seed, cluster].append(float(value))
    rows, columns = list(dict.fromkeys(seeds)), list(dict.fromkeys(clusters))
    for seed in rows:
        for cluster in columns:
            if (seed, cluster) not in cells:
                raise FieldError("values", f"none of seed {seed!r} in cluster {cluster!r}", "one in every cluster")
    return np.array([[np.mean(cells[seed, cluster]) for cluster in columns] for seed in rows])


def score_interval(scores: Sequence[float], level: float = LEVEL) -> Interval:
    """Returns the mean of independent scores, and its interval.

    If all scores are 0 or 1, the interval is the exact one of a proportion. It is right for few examples too, and for
    proportions near 0 and 1, where the variance of the sample says little. Otherwise each score is a cluster of its own
    (see :func:`mean_interval`).

    Args:
        scores: one score per example.
        level: the confidence level, in (0, 1).

    Raises:
        FieldError: there are no scores, one is not finite, or the level is outside (0, 1).
    """
    _check(scores, level)
    if any(score not in (0, 1) for score in scores):
        return mean_interval(scores, range(len(scores)), level=level)
    right = sum(score == 1 for score in scores)
    low, high = proportion_bounds(right, len(scores), level)
    return Interval(right / len(scores), low, high, level, EXACT_BINOMIAL, len(scores))


def _check(values: Sequence[float], level: float) -> None:
    if not len(values):
        raise FieldError("values", list(values), "at least one score")
    for value in values:
        if not np.isfinite(value):
            raise FieldError("values", value, "finite numbers")
    if not 0 < level < 1:
        raise FieldError("level", level, "between 0 and 1")
