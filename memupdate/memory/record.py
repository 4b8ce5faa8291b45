"""What a memory is: one thing that a bank knows, with where and when it was learned."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memupdate.checks import check_choice, check_integer
from memupdate.errors import FieldError

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

MEMORY_TYPES = ("episodic", "semantic", "procedural")
MAX_CONTENT_CHARACTERS = 8000
# Readers of JSON give up at different depths: Python near 1,000 levels, others from 128 on. A record adds a few levels.
MAX_NESTING = 64

_DATE = re.compile(
    r"\b\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December),? \d{4}\b"
)


def checked_text(name: str, value: object, *, blank: bool = False) -> str:
    """Returns ``value`` if it is text that can be stored.

    Args:
        name: the field's name, for the error.
        value: what was given.
        blank: whether empty or blank text is allowed.

    Raises:
        FieldError: the value is not a string, is blank, is longer than ``MAX_CONTENT_CHARACTERS``, or cannot be encoded
            as UTF-8.
    """
    if not isinstance(value, str):
        raise FieldError(name, value, "text")
    if not blank and not value.strip():
        raise FieldError(name, value, "text that is not empty")
    if len(value) > MAX_CONTENT_CHARACTERS:
        raise FieldError(name, value, f"at most {MAX_CONTENT_CHARACTERS:,} characters (this has {len(value):,})")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # a JSON string may hold half of a surrogate pair
        raise FieldError(name, value, "valid Unicode text, without lone surrogates") from error
    return value


def checked_type(value: object) -> str:
    """Returns ``value`` if it is one of ``MEMORY_TYPES``.

    Raises:
        FieldError: it is not.
    """
    return check_choice("memory_type", value, MEMORY_TYPES)


def checked_mapping(name: str, value: object) -> dict[str, JSON]:
    """Returns a deep copy of a JSON object.

    Args:
        name: the field's name, for the error.
        value: what was given.

    Raises:
        FieldError: the value is not a mapping, is not JSON, or has more than ``MAX_CONTENT_CHARACTERS`` characters.
    """
    if not isinstance(value, Mapping):
        raise FieldError(name, value, "a JSON object")
    if not value:
        return {}
    try:
        encoded = json.dumps(dict(value), allow_nan=False)
    except RecursionError:
        raise _nested_too_deeply(name, MAX_NESTING) from None
    except (TypeError, ValueError) as error:
        raise FieldError(name, value, "a JSON object (finite numbers, text, lists, objects)") from error
    if len(encoded) > MAX_CONTENT_CHARACTERS:
        raise FieldError(name, value, f"a JSON object of at most {MAX_CONTENT_CHARACTERS:,} characters")
    copied: dict[str, JSON] = json.loads(encoded)
    return copied


def check_nesting(name: str, value: object, levels: int = MAX_NESTING) -> None:
    """Checks how deeply lists and objects are nested in a value, before it is written.

    Args:
        name: the field's name, for the error.
        value: what was given.
        levels: the largest number of levels. ``[]`` has one level, ``{"a": []}`` has two.

    Raises:
        FieldError: the value has more levels. The error does not hold the value, which could not be printed or sent.
    """
    if _has_more_levels(value, levels):
        raise _nested_too_deeply(name, levels)


def _has_more_levels(value: object, levels: int) -> bool:
    if not isinstance(value, (Mapping, list, tuple)):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, Mapping) else value
    return any(_has_more_levels(one, levels - 1) for one in inner)


def _nested_too_deeply(name: str, levels: int) -> FieldError:
    return FieldError(name, "a value with more levels", f"lists and objects nested at most {levels} levels deep")


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of a bank.

    Attributes:
        id: its name in the bank. The bank gives no id twice.
        content: what is remembered, from 1 to ``MAX_CONTENT_CHARACTERS`` characters.
        memory_type: one of ``MEMORY_TYPES``.
        speaker: who said it, or whom it is about. Empty if that is not one person.
        session: the number of the session that it comes from; None if there is none.
        session_date: the date of the session, as the data says it (``"1:56 pm on 8 May, 2023"``).
        evidence: ids of the dialogue turns that support it.
        source: where it comes from, in words.
        metadata: anything else, as a JSON object. It is copied, and all forks share the copy, so do not edit it.

    Raises:
        FieldError: a field has a value that is not allowed.
    """

    id: str
    content: str
    memory_type: str = "episodic"
    speaker: str = ""
    session: int | None = None
    session_date: str = ""
    evidence: tuple[str, ...] = ()
    source: str = ""
    metadata: Mapping[str, JSON] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        checked_text("id", self.id)
        checked_text("content", self.content)
        checked_type(self.memory_type)
        for name in ("speaker", "session_date", "source"):
            checked_text(name, getattr(self, name), blank=True)
        if self.session is not None:
            check_integer("session", self.session)
        if not isinstance(self.evidence, (tuple, list)):
            raise FieldError("evidence", self.evidence, "a list of turn ids")
        for turn in self.evidence:
            checked_text("evidence", turn)
        object.__setattr__(self, "evidence", tuple(self.evidence))
        object.__setattr__(self, "metadata", checked_mapping("metadata", self.metadata))

    @property
    def date(self) -> str:
        """The day of ``session_date`` (``"8 May, 2023"``). All of ``session_date`` if no day can be read in it."""
        found = _DATE.search(self.session_date)
        return found.group() if found else self.session_date.strip()

    @property
    def text(self) -> str:
        """What a reader sees and what is embedded: the content, followed by ``date`` unless the content contains it."""
        if not self.session_date:
            return self.content
        date = self.date
        return f"{self.content} ({date})" if date and date not in self.content else self.content

    def to_json(self) -> dict[str, JSON]:
        """Returns every field, as a JSON object that ``from_json`` reads."""
        return {
            "id": self.id,
            "content": self.content,
            "memory_type": self.memory_type,
            "speaker": self.speaker,
            "session": self.session,
            "session_date": self.session_date,
            "evidence": list(self.evidence),
            "source": self.source,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Memory:
        """Returns the memory that ``to_json`` wrote.

        Raises:
            FieldError: a field is missing, unknown, or has a value that is not allowed.
        """
        if not isinstance(record, Mapping):
            raise FieldError("memory", record, "a JSON object")
        for name in ("id", "content"):
            if name not in record:
                raise FieldError(name, None, "text that is not empty; every memory has one")
        for name, value in record.items():
            check_nesting(str(name), value)
        unknown = sorted(set(record) - set(cls.__slots__))
        if unknown:
            raise FieldError(unknown[0], record[unknown[0]], f"the fields {', '.join(cls.__slots__)}")
        return cls(**record)

    def digest(self) -> bytes:
        """Returns the SHA-256 of all fields, as 32 bytes."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).digest()
