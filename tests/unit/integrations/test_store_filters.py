"""Filters: where they differ from Python's own comparisons."""

from __future__ import annotations

from typing import Any

import pytest

from memupdate.errors import FieldError
from memupdate.integrations.store_filters import checked_filter, passes


@pytest.mark.parametrize(
    ("value", "conditions", "expected"),
    [
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": 0}, {"a": False}, False),
        ({}, {"a": None}, True),
        ({}, {"a": {"$ne": 1}}, True),
        ({}, {"a": {"$gt": 1}}, False),
        ({"a": "10"}, {"a": {"$gt": 9}}, False),
        ({"a": "b"}, {"a": {"$gt": "a", "$lte": "b"}}, True),
        ({"a": True}, {"a": {"$gte": 1}}, False),
        ({"a": [1, "x"]}, {"a": [1, "x"]}, True),
        ({"a": [1, "x"]}, {"a": (1,)}, False),
        ({"a": {"b": {"c": 3}}}, {"a": {"b": {"c": {"$gt": 2}}}}, True),
        ({"a": {"b": 1, "c": 2}}, {"a": {"$eq": {"b": 1}}}, False),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
    ],
)
def test_conditions(value: dict[str, Any], conditions: dict[str, Any], expected: bool) -> None:
    assert passes(value, checked_filter(conditions)) is expected


def test_unknown_operators_are_named() -> None:
    with pytest.raises(FieldError, match=r"filter\.a: got '\$in'; allowed: \$eq, \$ne, \$gt"):
        checked_filter({"a": {"$in": [1]}})
    with pytest.raises(FieldError, match="filter"):
        checked_filter(["a"])  # type: ignore[arg-type]
