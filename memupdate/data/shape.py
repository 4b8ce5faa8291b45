"""Reading JSON of a known shape: a cursor that knows its place, so that errors name file, place and expectation."""

from __future__ import annotations

import contextlib
import hashlib
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
        """The error to raise when the value is not what is expected."""
        shown = repr(self.value)
        if len(shown) > _MAX_SHOWN:
            shown = shown[:_MAX_SHOWN] + "…"
        return DataError(f"{self.file}: {self.place or 'top level'}: expected {expected}, got {shown}")

    def mapping(self, expected: str = "an object") -> dict[str, Node]:
        """The members of a JSON object.

        Raises:
            DataError: if the value is no object.
        """
        if not isinstance(self.value, dict):
            raise self.fail(expected)
        prefix = f"{self.place}." if self.place else ""
        return {key: Node(value, self.file, f"{prefix}{key}") for key, value in self.value.items()}

    def field(self, name: str, expected: str) -> Node:
        """The member ``name`` of a JSON object.

        Raises:
            DataError: if the value is no object or has no such member.
        """
        members = self.mapping(f"an object with {name!r}")
        if name not in members:
            raise DataError(
                f"{self.file}: {self.place or 'top level'}: expected the key {name!r} ({expected}), "
                f"got the keys {sorted(members)}"
            )
        return members[name]

    def items(self, expected: str = "a list") -> list[Node]:
        """The elements of a JSON list.

        Raises:
            DataError: if the value is no list.
        """
        if not isinstance(self.value, list):
            raise self.fail(expected)
        return [Node(value, self.file, f"{self.place}[{index}]") for index, value in enumerate(self.value)]

    def text(self, expected: str = "a non-empty string", *, empty: bool = False) -> str:
        """A string without blanks around it.

        Raises:
            DataError: if the value is no string, holds half a surrogate pair, or is blank and ``empty`` is false.
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
        """A JSON integer; true and false are none.

        Raises:
            DataError: if the value is no integer.
        """
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.fail(expected)
        return self.value


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A parsed JSON file: its root and the SHA-256 of its bytes."""

    root: Node
    sha256: str


def read_json(path: Path) -> JsonFile:
    """Parse a JSON file.

    Raises:
        DataError: if it cannot be read, or is not complete, valid JSON.
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
    return JsonFile(Node(value, str(path)), hashlib.sha256(content).hexdigest())


@contextlib.contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Append the message of a DataError raised inside to ``problems`` and go on after the block."""
    try:
        yield
    except DataError as error:
        problems.append(str(error))
