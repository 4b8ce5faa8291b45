"""The six tools without a framework: a call's name and arguments in, an operation out; its result in, text out.

Nothing here knows of verl: the same six tools are offered to other frameworks from the same table.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memupdate.errors import FieldError, MemupdateError
from memupdate.memory import (
    JSON,
    MAX_MERGED,
    MAX_PARTS,
    MEMORY_TYPES,
    MERGE_STRATEGIES,
    SAMPLE_STRATEGIES,
    SPLIT_CRITERIA,
    Operation,
)

NO_MEMORIES = "No memories found."


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool.

    Attributes:
        kind: ``string``, ``integer``, ``number``, ``object`` or ``strings`` (a list of strings).
        required: whether a call must give it.
        choices: the values allowed for a string; empty allows any.
        least: smallest number, or fewest strings; None for no limit.
        most: largest number, or most strings; None for no limit.
    """

    kind: str
    required: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        if self.choices:
            return ", ".join(self.choices)
        limits = ""
        if self.least is not None:
            limits = f" from {self.least:g}" if self.most is None else f" from {self.least:g} to {self.most:g}"
        if self.kind == "strings":
            return f"a list of{limits.replace(' from', '')} strings"
        return {
            "string": "a string",
            "integer": f"a whole number{limits}",
            "number": f"a number{limits}",
            "object": "a JSON object",
        }[self.kind]

    def accepts(self, value: object) -> bool:
        """Whether ``value`` is of the kind and within the limits."""
        match self.kind:
            case "string":
                return isinstance(value, str) and (not self.choices or value in self.choices)
            case "integer":
                return isinstance(value, int) and not isinstance(value, bool) and self._within(value)
            case "number":
                number = isinstance(value, int | float) and not isinstance(value, bool)
                return number and math.isfinite(value) and self._within(value)  # type: ignore[arg-type]
            case "object":
                return isinstance(value, dict)
        return isinstance(value, list) and self._within(len(value)) and all(isinstance(item, str) for item in value)

    def _within(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


_TYPE = Parameter("string", choices=tuple(MEMORY_TYPES))

TOOLS: Mapping[str, Mapping[str, Parameter]] = {
    "search_memory": {
        "query": Parameter("string", required=True),
        "top_k": Parameter("integer", least=1),
        "memory_type": _TYPE,
        "threshold": Parameter("number", least=0, most=1),
    },
    "manage_memory": {
        "operation": Parameter("string", required=True, choices=("create", "update")),
        "content": Parameter("string", required=True),
        "memory_type": _TYPE,
        "metadata": Parameter("object"),
        "source": Parameter("string"),
        "memory_id": Parameter("string"),
    },
    "delete_memory": {"memory_id": Parameter("string", required=True), "reason": Parameter("string")},
    "sample_memory": {
        "k": Parameter("integer", required=True, least=1),
        "memory_type": _TYPE,
        "strategy": Parameter("string", choices=tuple(SAMPLE_STRATEGIES)),
    },
    "merge_memory": {
        "memory_ids": Parameter("strings", required=True, least=2, most=MAX_MERGED),
        "strategy": Parameter("string", required=True, choices=tuple(MERGE_STRATEGIES)),
    },
    "split_memory": {
        "memory_id": Parameter("string", required=True),
        "split_criteria": Parameter("string", required=True, choices=tuple(SPLIT_CRITERIA)),
        "max_parts": Parameter("integer", least=2, most=MAX_PARTS),
    },
}


@dataclass(frozen=True, slots=True)
class CallContext:
    """What a call knows besides its arguments.

    Attributes:
        namespace: the trajectory's bank.
        number: the call's place in the trajectory, from 0; None if nobody counts.
    """

    namespace: str
    number: int | None = None

    @property
    def key(self) -> str:
        """Idempotency key: a call that is delivered twice edits once. Empty without a number."""
        return "" if self.number is None else f"{self.namespace}#{self.number}"

    @property
    def seed(self) -> int:
        """Seed of this call's random choices: the same whenever the same call of the same trajectory is made."""
        named = f"{self.namespace}#{self.number or 0}".encode()
        return int.from_bytes(hashlib.blake2b(named, digest_size=4).digest(), "little")


def parse_call(name: str, arguments: object, context: CallContext) -> Operation:
    """The operation that a tool call asks for.

    An optional parameter that is null counts as not given.

    Args:
        name: the tool.
        arguments: what the model gave, as parsed JSON.
        context: whose call it is.

    Raises:
        FieldError: no such tool; a parameter that is missing, unknown, or has a value that is not allowed.
    """
    given = check_arguments(name, arguments)
    match name:
        case "search_memory":
            return Operation("search", given)
        case "sample_memory":
            return Operation("sample", {**given, "seed": context.seed})
        case "manage_memory":
            operation = str(given.pop("operation"))
            if operation == "update" and "memory_id" not in given:
                raise FieldError("memory_id", None, "the id of the memory to update")
            if operation == "create" and "memory_id" in given:
                raise FieldError("memory_id", given["memory_id"], "nothing for create (use update to change a memory)")
            return Operation(operation, given, context.key)
    return Operation(name.removesuffix("_memory"), given, context.key)


def check_arguments(name: str, arguments: object) -> dict[str, JSON]:
    """The arguments that were given, each of them allowed.

    Raises:
        FieldError: as ``parse_call``.
    """
    if name not in TOOLS:
        raise FieldError("tool", name, ", ".join(TOOLS))
    parameters = TOOLS[name]
    if not isinstance(arguments, dict):
        raise FieldError("arguments", arguments, f"a JSON object with {', '.join(parameters)}")
    for field_name in arguments:
        if field_name not in parameters:
            raise FieldError(str(field_name), arguments[field_name], f"{name} takes {', '.join(parameters)}")
    given: dict[str, Any] = {}
    for field_name, parameter in parameters.items():
        value = arguments.get(field_name)
        if value is None and not parameter.required:
            continue
        if not parameter.accepts(value):
            raise FieldError(field_name, value, parameter.allowed)
        given[field_name] = value
    return given


def result_text(operation: Operation, value: Any) -> str:
    """What the model reads of a result; ``value`` as in ``Outcome.value``."""
    match operation.kind:
        case "search":
            return "\n".join(f"[{hit['id']}] {hit['score']:.2f} {_line(hit['text'])}" for hit in value) or NO_MEMORIES
        case "sample":
            return "\n".join(f"[{memory['id']}] {_line(memory['text'])}" for memory in value) or NO_MEMORIES
        case "merge":
            return f"Merged into [{value['id']}]."
        case "split":
            return "Split into " + " ".join(f"[{memory['id']}]" for memory in value) + "."
    done = {"create": "Created", "update": "Updated", "delete": "Deleted"}[operation.kind]
    return f"{done} [{value['id']}]."


def error_text(error: MemupdateError | str) -> str:
    """What the model reads of an error."""
    return f"Error: {error}"


def _line(text: str) -> str:
    return " ".join(text.split())
