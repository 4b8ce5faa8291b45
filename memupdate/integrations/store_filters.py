"""LangGraph's filters over an item's value."""

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
    """Returns a filter's conditions, each of which is known; none without a filter.

    Raises:
        FieldError: not a mapping, or an operator that there is not.
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

    A field that is missing counts as null. Orderings compare numbers with numbers and texts with texts; of anything
    else none is greater or less.
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
        return False  # to Python True is 1, to JSON it is not
    return bool(given == (list(wanted) if isinstance(wanted, tuple) else wanted))


def is_number(value: Any) -> bool:
    """Returns whether ``value`` is a number in JSON, where true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
