"""Counts of one trajectory. The agent loop writes them, and the reward manager logs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memupdate.tools.table import tool_names

_NUMBERS = ("turns", "memory_count_before", "memory_count_after", "malformed_calls", "unknown_calls", "ignored_calls")


def _zeros() -> dict[str, int]:
    return dict.fromkeys(tool_names(), 0)


@dataclass(slots=True)
class TrajectoryCounts:
    """Counts of turns, memories and tool calls of one trajectory.

    Every tool call that the policy wrote is counted exactly once: in ``calls`` under its tool, in ``malformed_calls``,
    in ``unknown_calls``, or in ``ignored_calls``.

    Attributes:
        turns: number of assistant turns.
        memory_count_before: number of memories in the bank at the start.
        memory_count_after: number of memories in the bank at the end.
        malformed_calls: number of calls that could not be parsed (invalid JSON, no name, arguments that are not an
            object, no closing tag).
        unknown_calls: number of calls of tools that do not exist.
        ignored_calls: number of calls beyond the limit per turn.
        calls: number of calls of each tool in the table.
        errors: for each tool, the number of its calls that were answered with an error.
    """

    turns: int = 0
    memory_count_before: int = 0
    memory_count_after: int = 0
    malformed_calls: int = 0
    unknown_calls: int = 0
    ignored_calls: int = 0
    calls: dict[str, int] = field(default_factory=_zeros)
    errors: dict[str, int] = field(default_factory=_zeros)

    def to_fields(self) -> dict[str, float]:
        """Returns the scalar counts, ``calls_{tool}`` and ``errors_{tool}``. Every trajectory has the same keys."""
        fields = {name: float(getattr(self, name)) for name in _NUMBERS}
        fields |= {f"calls_{tool}": float(count) for tool, count in self.calls.items()}
        fields |= {f"errors_{tool}": float(count) for tool, count in self.errors.items()}
        return fields


def counts_in(fields: Mapping[str, Any]) -> dict[str, float]:
    """Returns the counts among ``fields``, under the keys of ``to_fields``. A missing count is 0."""
    return {name: float(fields.get(name, 0.0)) for name in TrajectoryCounts().to_fields()}
