"""Reads JSON of a known shape. Every error names the file, the place in it, and what is expected there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memupdate.errors import DataError

_MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Node:
    """A value inside a parsed JSON file.

    Attributes:
        value: the JSON value.
        file: the name of the file, for messages.
        place: where the value stands, e.g. ``[3].qa[17].question``; "" for the whole file.
    """

    value: Any
    file: str
    place: str = ""

    def fail(self, expected: str) -> DataError:
        """Returns the error to raise if the value is not what is expected."""
        shown = repr(self.value)
        if len(shown) > _MAX_SHOWN:
            shown = shown[:_MAX_SHOWN] + "…"
        return DataError(f"{self.file}: {self.place or 'top level'}: expected {expected}, got {shown}")

    def mapping(self, expected: str = "an object") -> dict[str, Node]:
        """Returns the members of a JSON object.

        Raises:
            DataError: the value is not an object.
        """
        if not isinstance(self.value, dict):
            raise self.fail(expected)
        prefix = f"{self.place}." if self.place else ""
        return {key: Node(value, self.file, f"{prefix}{key}") for key, value in self.value.items()}

    def field(self, name: str, expected: str) -> Node:
        """Returns the member ``name`` of a JSON object. ``expected`` says what it should be, for the error.

        Raises:
            DataError: the value is not an object, or has no such member.
        """
        members = self.mapping(f"an object with {name!r}")
        if name not in members:
            raise DataError(
                f"{self.file}: {self.place or 'top level'}: expected the key {name!r} ({expected}), "
                f"got the keys {sorted(members)}"
            )
        return members[name]

    def items(self, expected: str = "a list") -> list[Node]:
        """Returns the elements of a JSON list.

        Raises:
            DataError: the value is not a list.
        """
        if not isinstance(self.value, list):
            raise self.fail(expected)
        return [Node(value, self.file, f"{self.place}[{index}]") for index, value in enumerate(self.value)]

    def text(self, expected: str = "a non-empty string", *, empty: bool = False) -> str:
        """Returns a string without the white space around it.

        Args:
            expected: what the string should be, for the error.
            empty: whether a blank string is allowed.

        Raises:
            DataError: the value is not a string, is not valid Unicode, or is blank and must not be.
        """
        if not isinstance(self.value, str):
            raise self.fail(expected)
        try:
            self.value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.fail("valid Unicode text") from error
        stripped = self.value.strip()
        if not stripped and not empty:
            raise self.fail(expected)
        return stripped

    def integer(self, expected: str = "an integer") -> int:
        """Returns a JSON integer.

        Raises:
            DataError: the value is not an integer. True and false are not integers.
        """
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.fail(expected)
        return self.value


def read_json(path: Path) -> Node:
    """Parses a JSON file.

    Returns:
        Its root.

    Raises:
        DataError: the file cannot be read, or is not complete, valid JSON.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a readable JSON file: {error.strerror or error}") from error
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno} column {error.colno}: expected complete, valid JSON: {error.msg}"
        ) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise DataError(f"{path}: expected complete, valid JSON in UTF-8: {error}") from error
    return Node(value, str(path))


def read_json_lines(path: Path, what: str) -> Iterator[Node]:
    """Yields the JSON value of each line of a file. A node's ``file`` is the path with the line's number.

    Args:
        path: the file.
        what: what a line holds, with its article, for errors.

    Raises:
        DataError: the file cannot be read, or a line is not complete, valid JSON.
    """
    try:
        with path.open(encoding="utf-8") as file:
            lines = list(file)  # not splitlines: that would also cut at separators that JSON text may hold
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a readable UTF-8 file with {what} on each line: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}: expected {what} as one complete JSON object: {error}") from error
        yield Node(value, f"{path}:{number}")


@contextlib.contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Catches a DataError of the block and appends its message to ``problems``."""
    try:
        yield
    except DataError as error:
        problems.append(str(error))
