"""Quantiles against SciPy, whose algorithms are others."""

from __future__ import annotations

import pytest
from scipy import special

from memupdate.evaluation.quantiles import proportion_bounds, student_t


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 9, 19, 30, 1001])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_students_t(level: float, degrees: int) -> None:
    assert student_t(level, degrees) == pytest.approx(special.stdtrit(degrees, (1 + level) / 2), rel=1e-11)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 5), (5, 5), (2, 4), (49, 50), (700, 1319)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bounds_of_a_proportion(successes: int, trials: int, level: float) -> None:
    tail = (1 - level) / 2  # the bounds are quantiles of beta distributions; none where nothing can be lower or higher
    low = special.betaincinv(successes, trials - successes + 1, tail) if successes else 0
    high = special.betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1
    assert proportion_bounds(successes, trials, level) == pytest.approx((low, high), abs=1e-11)
