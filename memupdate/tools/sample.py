"""The tool ``sample_memory``."""

from __future__ import annotations

from memupdate.broker.results import Outcome
from memupdate.memory import JSON, SAMPLE_STRATEGIES, Operation
from memupdate.tools.parameter import Parameter, memory_type
from memupdate.tools.replies import NO_MEMORIES, one_line
from memupdate.tools.tool import CallContext, Tool


class SampleMemory(Tool):
    """Shows a few memories of the bank without a query, as ``[m12] text``."""

    name = "sample_memory"
    description = "Look at a few memories of the bank without a query. Returns id and text of each."
    parameters = (
        Parameter("k", "integer", "How many memories, 1 or more; 3 is a good start.", required=True, least=1),
        memory_type("Only memories of this type."),
        Parameter(
            "strategy",
            "string",
            "random (default); diverse: memories unlike each other; recent: the newest.",
            choices=tuple(SAMPLE_STRATEGIES),
        ),
    )

    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the requested sample operation with the call's seed."""
        return Operation("sample", {**given, "seed": context.seed})

    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns one line per memory."""
        return "\n".join(f"[{shown['id']}] {one_line(shown['text'])}" for shown in outcome.memories) or NO_MEMORIES
