"""The tool ``split_memory``."""

from __future__ import annotations

from memupdate.broker.results import Outcome
from memupdate.memory import JSON, MAX_PARTS, SPLIT_CRITERIA, Operation
from memupdate.tools.parameter import Parameter
from memupdate.tools.tool import CallContext, Tool


class SplitMemory(Tool):
    """Splits a memory into several."""

    name = "split_memory"
    description = f"Replace a memory that holds several things by 2 to {MAX_PARTS} smaller ones."
    parameters = (
        Parameter("memory_id", "string", "The memory to split, such as m12.", required=True),
        Parameter(
            "split_criteria",
            "string",
            "What separates the parts: time, topic or person.",
            required=True,
            choices=tuple(SPLIT_CRITERIA),
        ),
        Parameter(
            "max_parts", "integer", f"At most this many parts, 2 to {MAX_PARTS}. Default 3.", least=2, most=MAX_PARTS
        ),
    )

    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the requested split operation."""
        return Operation("split", given, context.key)

    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns a text with the ids of the parts."""
        return "Split into " + " ".join(f"[{part['id']}]" for part in outcome.memories) + "."
