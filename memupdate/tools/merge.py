"""The tool ``merge_memory``."""

from __future__ import annotations

from memupdate.broker.results import Outcome
from memupdate.memory import JSON, MAX_MERGED, MERGE_STRATEGIES, Operation
from memupdate.tools.parameter import Parameter
from memupdate.tools.tool import CallContext, Tool


class MergeMemory(Tool):
    """Merges several memories into one."""

    name = "merge_memory"
    description = f"Replace 2 to {MAX_MERGED} memories by one that is made from them."
    parameters = (
        Parameter(
            "memory_ids",
            "strings",
            f'2 to {MAX_MERGED} different ids, such as ["m12", "m3"].',
            required=True,
            least=2,
            most=MAX_MERGED,
        ),
        Parameter(
            "strategy",
            "string",
            "summarize: their sentences without repetition; concatenate: all texts in full; "
            "extract_common: only what they share.",
            required=True,
            choices=tuple(MERGE_STRATEGIES),
        ),
    )

    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the requested merge operation."""
        return Operation("merge", given, context.key)

    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns a text with the id of the new memory."""
        return f"Merged into [{outcome.memory['id']}]."
