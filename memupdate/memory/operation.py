"""One request to a bank, as a small record that can be sent, journaled and replayed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from memupdate.errors import FieldError
from memupdate.memory.record import JSON, Memory, check_nesting

MUTATIONS = ("create", "update", "put", "delete", "merge", "split")
READS = ("search", "sample", "get")

# What create and put may set besides the content: every other field of a memory.
_FIELDS = tuple(field.name for field in fields(Memory) if field.name not in ("id", "content"))

# Types of which every value is JSON, and cannot be changed.
_PLAIN = {str, bool, type(None)}

_ARGUMENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # kind: (required, optional)
    "create": (("content",), _FIELDS),
    "put": (("memory_id", "content"), _FIELDS),
    "update": (("memory_id", "content"), ("memory_type", "metadata", "source")),
    "delete": (("memory_id",), ("reason",)),
    "merge": (("memory_ids", "strategy"), ()),
    "split": (("memory_id", "split_criteria"), ("max_parts",)),
    "search": (("query",), ("top_k", "memory_type", "threshold", "ranking")),
    "sample": ((), ("k", "strategy", "memory_type", "seed")),
    "get": (("memory_id",), ()),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One request to a bank. It is complete: applied to the same state, it always leads to the same state.

    Attributes:
        kind: one of ``MUTATIONS`` or ``READS``, which is the name of the bank's method.
        arguments: the method's arguments by name, as a JSON object. They are copied.
        key: idempotency key of a mutation. A bank applies each key once, however often the operation is delivered. With
            an empty key, every delivery is applied.

    Raises:
        FieldError: the kind is unknown, or an argument is missing, unknown, not JSON or nested too deeply.
    """

    kind: str
    arguments: Mapping[str, JSON] = field(default_factory=dict, hash=False)
    key: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in _ARGUMENTS:
            raise FieldError("kind", self.kind, ", ".join(_ARGUMENTS))
        if not isinstance(self.key, str):
            raise FieldError("key", self.key, "text")
        if not isinstance(self.arguments, Mapping):
            raise FieldError("arguments", self.arguments, "a JSON object")
        plain = all(type(value) in _PLAIN for value in self.arguments.values())
        if not plain:
            for name, value in self.arguments.items():
                check_nesting(str(name), value)
        required, optional = _ARGUMENTS[self.kind]
        for name in required:
            if self.arguments.get(name) is None:
                raise FieldError(name, None, f"a value; {self.kind} needs {', '.join(required)}")
        for name in self.arguments:
            if name not in required and name not in optional:
                raise FieldError(str(name), self.arguments[name], f"{self.kind} takes {', '.join(required + optional)}")
        copied = self.arguments if plain else self._copied_arguments()
        # An argument left out and an argument that is null are the same request.
        object.__setattr__(self, "arguments", {name: value for name, value in copied.items() if value is not None})

    def _copied_arguments(self) -> dict[str, JSON]:
        try:
            copied: dict[str, JSON] = json.loads(json.dumps(dict(self.arguments), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise FieldError(
                "arguments", self.arguments, "JSON values (finite numbers, text, lists, objects)"
            ) from error
        return copied

    @classmethod
    def checked_before(cls, kind: str, arguments: Mapping[str, JSON], key: str) -> Operation:
        """Makes an operation without checks. Its fields come from an operation that was checked when it was made."""
        operation = object.__new__(cls)
        object.__setattr__(operation, "kind", kind)
        object.__setattr__(operation, "arguments", arguments)
        object.__setattr__(operation, "key", key)
        return operation

    @property
    def is_mutation(self) -> bool:
        """Whether the operation can change the bank. Such operations are journaled."""
        return self.kind in MUTATIONS

    def to_json(self) -> dict[str, JSON]:
        """Returns a JSON object that ``from_json`` reads."""
        return {"kind": self.kind, "arguments": dict(self.arguments), "key": self.key}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Operation:
        """Returns the operation that ``to_json`` wrote.

        Raises:
            FieldError: the record is not an operation.
        """
        if not isinstance(record, Mapping) or set(record) != set(cls.__slots__):
            raise FieldError("operation", record, "an object with kind, arguments and key")
        return cls(**record)


def without_keys(operations: Iterable[Operation]) -> list[Operation]:
    """Returns the operations without their idempotency keys."""
    return [Operation.checked_before(one.kind, one.arguments, "") for one in operations]
