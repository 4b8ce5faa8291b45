"""Checks of the values of fields. Every error names the field, its value, and what is allowed.

Each check returns its value with the checked type.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from memupdate.errors import FieldError


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


Options = TypeVar("Options", bound=Dataclass)


def build_options(kind: type[Options], values: Mapping[str, Any], prefix: str) -> Options:
    """Builds a dataclass from a config section.

    Args:
        kind: the dataclass. Its ``__post_init__`` checks the values.
        values: the section's fields.
        prefix: the section's name, with which errors start (``reward.scorer``).

    Returns:
        An instance of ``kind``. A field that is not in the section has its default.

    Raises:
        FieldError: the section has a field that ``kind`` does not have.
    """
    known = [field.name for field in fields(kind)]
    for key in values:
        if key not in known:
            raise FieldError(f"{prefix}.{key}", values[key], f"no such field; one of {', '.join(known) or 'none'}")
    return kind(**values)


def check_choice(field: str, value: object, choices: Iterable[str]) -> str:
    """Returns ``value``. Raises FieldError unless it is one of ``choices``."""
    allowed = list(choices)
    if not isinstance(value, str) or value not in allowed:
        raise FieldError(field, value, "one of " + ", ".join(allowed))
    return value


def check_integer(field: str, value: object) -> int:
    """Returns ``value``. Raises FieldError unless it is an integer; true and false are not integers."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise FieldError(field, value, "a whole number")
    return value


def check_positive_int(field: str, value: object) -> int:
    """Returns ``value``. Raises FieldError unless it is an integer of at least 1."""
    return check_at_least(field, value, 1)


def check_at_least(field: str, value: object, least: int) -> int:
    """Returns ``value``. Raises FieldError unless it is an integer of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise FieldError(field, value, f"a whole number from {least:,}")
    return value


def check_int_between(field: str, value: object, least: int, most: int) -> int:
    """Returns ``value``. Raises FieldError unless it is an integer from ``least`` to ``most``, both included."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise FieldError(field, value, f"a whole number from {least:,} to {most:,}")
    return value


def check_number_between(field: str, value: object, least: float, most: float) -> float:
    """Returns ``value``. Raises FieldError unless it is a number from ``least`` to ``most``, both included."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise FieldError(field, value, f"a number from {least} to {most}")
    return value


def check_positive_number(field: str, value: object) -> float:
    """Returns ``value``. Raises FieldError unless it is a finite number above 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not (math.isfinite(value) and value > 0):
        raise FieldError(field, value, "a finite number above 0")
    return value


def check_number_from_zero(field: str, value: object) -> float:
    """Returns ``value``. Raises FieldError unless it is a finite number of at least 0."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
        raise FieldError(field, value, "a finite number of at least 0")
    return value


def check_finite(field: str, value: object) -> float:
    """Returns ``value``. Raises FieldError unless it is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise FieldError(field, value, "a finite number")
    return value


def check_share(field: str, value: object) -> float:
    """Returns ``value``. Raises FieldError unless it is a number above 0 and at most 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise FieldError(field, value, "a number above 0 and at most 1")
    return value


def check_never_or_every(field: str, value: object) -> int:
    """Returns ``value``. Raises FieldError unless it is -1, which means never, or an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or (value < 1 and value != -1):
        raise FieldError(field, value, "-1 for never, or a whole number from 1")
    return value


def check_bool(field: str, value: object) -> bool:
    """Returns ``value``. Raises FieldError unless it is true or false."""
    if not isinstance(value, bool):
        raise FieldError(field, value, "true or false")
    return value


def check_text(field: str, value: object, what: str) -> str:
    """Returns ``value``. Raises FieldError unless it is a string that is not blank.

    Args:
        field: the field's name.
        value: the value that was given.
        what: a description of the allowed text, for the error message.
    """
    if not isinstance(value, str) or not value.strip():
        raise FieldError(field, value, what)
    return value


def check_folder(field: str, value: object) -> Path:
    """Returns ``value`` as a path. Raises FieldError unless a folder is there, or can be made there."""
    given = check_text(field, value, "the path of a folder")
    path = Path(given).expanduser().absolute()
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise FieldError(field, given, f"the path of a folder: {nearest} is a file")
    return path


def check_mapping(field: str, value: object, what: str) -> Mapping[Any, Any]:
    """Returns ``value``. Raises FieldError unless it is a mapping; ``what`` describes the allowed mapping."""
    if not isinstance(value, Mapping):
        raise FieldError(field, value, what)
    return value
