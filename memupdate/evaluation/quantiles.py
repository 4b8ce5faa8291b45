"""Exact quantiles for intervals: Student's t with whole degrees of freedom, and bounds of a binomial proportion.

Both are found by bisection of a finite sum, so they are as exact as floats are, and need no library besides numpy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np


@functools.lru_cache(maxsize=1024)
def student_t(level: float, degrees: int) -> float:
    """Returns the number t for which Student's T lies in [-t, t] with probability ``level``.

    The probability is the finite sum for whole degrees of freedom in Abramowitz and Stegun, Handbook of Mathematical
    Functions, 26.7.3 and 26.7.4, with the angle atan(t / sqrt(degrees)).

    Args:
        level: the probability, in (0, 1).
        degrees: the degrees of freedom, at least 1.
    """
    angle = _bisect(lambda angle: _probability_within(angle, degrees) - level, 0.0, math.pi / 2)
    return math.sqrt(degrees) * math.tan(angle)


def _probability_within(angle: float, degrees: int) -> float:
    odd = degrees % 2
    step_K = np.arange(1, (degrees - odd) // 2)
    factor_K = (2 * step_K - 1 + odd) / (2 * step_K + odd) * math.cos(angle) ** 2
    powers = 1.0 + float(np.cumprod(factor_K).sum()) if degrees > 1 else 0.0
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * math.cos(angle) * powers)
    return math.sin(angle) * powers


def proportion_bounds(successes: int, trials: int, level: float) -> tuple[float, float]:
    """Returns the exact bounds of a proportion (Clopper and Pearson, Biometrika 26, 1934).

    At the lower bound, as many successes or more have the probability (1 - ``level``) / 2; at the upper bound, as many
    or fewer.

    Args:
        successes: the number of successes, from 0 to ``trials``.
        trials: the number of independent trials, at least 1.
        level: the confidence level, in (0, 1).
    """
    tail = (1 - level) / 2
    return _lower_bound(successes, trials, tail), 1 - _lower_bound(trials - successes, trials, tail)


def _lower_bound(successes: int, trials: int, tail: float) -> float:
    if successes == 0:
        return 0.0
    count_K = np.arange(successes, trials + 1)
    log_factorial = np.array([math.lgamma(n + 1) for n in range(trials + 1)])
    log_ways_K = log_factorial[trials] - log_factorial[count_K] - log_factorial[trials - count_K]

    def excess(chance: float) -> float:
        log_K = log_ways_K + count_K * math.log(chance) + (trials - count_K) * math.log1p(-chance)
        return float(np.exp(log_K).sum()) - tail

    return _bisect(excess, 0.0, 1.0)


def _bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    """Returns where a rising function crosses zero between ``low`` and ``high``, to the precision of floats."""
    while low < (middle := (low + high) / 2) < high:
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return middle
