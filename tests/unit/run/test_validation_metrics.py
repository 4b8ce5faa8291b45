"""Validation figures by LoCoMo category.

Rows U38.
"""

from __future__ import annotations

import math

from memupdate.run.metrics import by_category


def test_u38_validation_is_reported_per_category_with_n() -> None:
    rows = [
        {"category": 1.0, "reward": 0.2, "delta": 0.1, "qa_before": 0.5, "qa_after": 0.6},
        {"category": 1.0, "reward": 0.4, "delta": 0.3, "qa_before": 0.5, "qa_after": 0.8},
        {"category": 4.0, "reward": 0.0, "delta": 0.0, "qa_before": 1.0, "qa_after": 1.0},
    ]
    figures = by_category(rows, "validation")
    assert figures["validation/category_1/n"] == 2
    assert math.isclose(figures["validation/category_1/reward"], 0.3)
    assert math.isclose(figures["validation/category_1/qa_after"], 0.7)
    assert figures["validation/category_4/n"] == 1
    assert figures["validation/category_4/qa_before"] == 1.0
