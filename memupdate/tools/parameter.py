"""One parameter of a tool: its schema for the model, and the check of its values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memupdate.checks import check_choice
from memupdate.memory import JSON, MEMORY_TYPES

KINDS = ("string", "integer", "number", "object", "strings")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a tool.

    Attributes:
        name: the parameter's name in a call.
        kind: ``string``, ``integer``, ``number``, ``object`` or ``strings`` (a list of strings).
        description: the description that the model reads.
        required: whether every call must give the parameter.
        choices: the allowed strings; empty if any string is allowed.
        least: the smallest allowed number, or the smallest number of strings; None for no limit.
        most: the largest allowed number, or the largest number of strings; None for no limit.

    Raises:
        FieldError: there is no such kind.
    """

    name: str
    kind: str
    description: str
    required: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        check_choice(f"kind of parameter {self.name!r}", self.kind, KINDS)

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
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

    @property
    def schema(self) -> dict[str, JSON]:
        """The parameter as JSON Schema. It omits numeric limits; the description states them."""
        schema: dict[str, JSON] = {"type": "array" if self.kind == "strings" else self.kind}
        if self.kind == "strings":
            schema["items"] = {"type": "string"}
        if self.choices:
            schema["enum"] = list(self.choices)
        return {**schema, "description": self.description}

    def accepts(self, value: object) -> bool:
        """Returns whether ``value`` has the right kind and is within the limits."""
        match self.kind:
            case "string":
                return isinstance(value, str) and (not self.choices or value in self.choices)
            case "integer":
                return isinstance(value, int) and not isinstance(value, bool) and self._within(value)
            case "number":
                return (
                    isinstance(value, int | float)
                    and not isinstance(value, bool)
                    and math.isfinite(value)
                    and self._within(value)
                )
            case "object":
                return isinstance(value, dict)
        return isinstance(value, list) and self._within(len(value)) and all(isinstance(item, str) for item in value)

    def _within(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


def memory_type(description: str) -> Parameter:
    """Returns the optional parameter ``memory_type``."""
    return Parameter("memory_type", "string", description, choices=tuple(MEMORY_TYPES))
