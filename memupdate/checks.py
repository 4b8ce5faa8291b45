"""Checks of one field's value. Every error names the field, its value, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from memupdate.errors import FieldError

Options = TypeVar("Options")


def build_options(kind: type[Options], values: Mapping[str, Any], prefix: str) -> Options:
    """Build the dataclass ``kind`` from ``values``; its ``__post_init__`` validates the values.

    Raises:
        FieldError: a key that ``kind`` does not have.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise FieldError(f"{prefix}.{key}", values[key], f"no such field; one of {known or 'none'}")
    return kind(**values)


def check_choice(field: str, value: object, choices: Iterable[str]) -> None:
    """Raise FieldError unless ``value`` is one of ``choices``."""
    allowed = list(choices)
    if value not in allowed:
        raise FieldError(field, value, "one of " + ", ".join(allowed))


def check_positive_int(field: str, value: object) -> None:
    """Raise FieldError unless ``value`` is an integer of at least 1."""
    check_at_least(field, value, 1)


def check_at_least(field: str, value: object, least: int) -> None:
    """Raise FieldError unless ``value`` is an integer of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise FieldError(field, value, f"an integer of at least {least}")


def check_positive_number(field: str, value: object) -> None:
    """Raise FieldError unless ``value`` is a finite number above 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not (math.isfinite(value) and value > 0):
        raise FieldError(field, value, "a finite number above 0")


def check_number_from_zero(field: str, value: object) -> None:
    """Raise FieldError unless ``value`` is a finite number of at least 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
        raise FieldError(field, value, "a finite number of at least 0")


def check_bool(field: str, value: object) -> None:
    """Raise FieldError unless ``value`` is true or false."""
    if not isinstance(value, bool):
        raise FieldError(field, value, "true or false")


def check_text(field: str, value: object, what: str) -> None:
    """Raise FieldError unless ``value`` is a string with something in it; ``what`` says what it should hold."""
    if not isinstance(value, str) or not value.strip():
        raise FieldError(field, value, what)
