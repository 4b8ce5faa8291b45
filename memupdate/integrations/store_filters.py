"""LangGraph's filters on the values of items."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from memupdate.errors import FieldError

_ORDERINGS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
OPERATORS = ("$eq", "$ne", *_ORDERINGS)


def checked_filter(conditions: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Checks a filter and returns its conditions; an empty mapping if the filter is None.

    Raises:
        FieldError: the filter is not a mapping, or has an unknown operator.
    """
    if conditions is None:
        return {}
    if not isinstance(conditions, Mapping):
        raise FieldError("filter", conditions, "a mapping from the value's fields to values or operators")
    for field, wanted in conditions.items():
        if isinstance(wanted, Mapping):
            for name in wanted:
                if str(name).startswith("$") and name not in OPERATORS:
                    raise FieldError(f"filter.{field}", name, ", ".join(OPERATORS))
    return conditions


def passes(value: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Returns whether an item's value meets all conditions.

    A missing field counts as null. ``$gt``, ``$gte``, ``$lt`` and ``$lte`` compare two numbers or two strings. For any
    other pair of values they are false.
    """
    return all(_meets(value.get(field), wanted) for field, wanted in conditions.items())


def _meets(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if any(str(name).startswith("$") for name in wanted):
            return all(_compares(given, name, operand) for name, operand in wanted.items())
        return isinstance(given, Mapping) and all(_meets(given.get(name), part) for name, part in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(given, list)
            and len(given) == len(wanted)
            and all(_meets(one, part) for one, part in zip(given, wanted, strict=True))
        )
    return _equal(given, wanted)


def _compares(given: Any, name: str, operand: Any) -> bool:
    if name == "$eq":
        return _equal(given, operand)
    if name == "$ne":
        return not _equal(given, operand)
    comparable = (is_number(given) and is_number(operand)) or (isinstance(given, str) and isinstance(operand, str))
    return comparable and _ORDERINGS[name](given, operand)


def _equal(given: Any, wanted: Any) -> bool:
    if isinstance(given, bool) is not isinstance(wanted, bool):
        return False  # True equals 1 in Python, but not in JSON
    return bool(given == (list(wanted) if isinstance(wanted, tuple) else wanted))


def is_number(value: Any) -> bool:
    """Returns whether ``value`` is a JSON number. True and false are not numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool)
