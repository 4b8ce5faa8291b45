"""Confidence intervals for clustered scores.

Questions of one conversation share a memory bank, and rollouts of one question share the question. They are not
independent, so an interval over single rollouts is too narrow. The cluster bootstrap resamples whole clusters with
replacement (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from memupdate.errors import FieldError


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float

    def excludes_zero(self) -> bool:
        """Returns whether the whole interval is on one side of zero."""
        return self.low > 0 or self.high < 0


def cluster_bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Returns the mean and its percentile interval under resampling of whole clusters.

    Args:
        values: one score per observation.
        clusters: the cluster of each observation, as many as ``values``.
        level: the confidence level, in (0, 1).
        resamples: the number of bootstrap resamples.
        seed: the seed of the resampling.

    Raises:
        FieldError: there are no values, the lengths differ, or the level is outside (0, 1).
    """
    if not len(values):
        raise FieldError("values", list(values), "at least one score")
    if len(values) != len(clusters):
        raise FieldError("clusters", f"{len(clusters)} labels", f"{len(values)}, one per value")
    if not 0 < level < 1:
        raise FieldError("level", level, "between 0 and 1")
    sums: dict[Hashable, float] = defaultdict(float)
    counts: dict[Hashable, int] = defaultdict(int)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += float(value)
        counts[cluster] += 1
    total_C = np.array([sums[cluster] for cluster in sums])
    count_C = np.array([counts[cluster] for cluster in sums])
    drawn_RC = np.random.default_rng(seed).integers(0, len(total_C), size=(resamples, len(total_C)))
    means_R = total_C[drawn_RC].sum(1) / count_C[drawn_RC].sum(1)
    low, high = np.quantile(means_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(total_C.sum() / count_C.sum()), float(low), float(high))
