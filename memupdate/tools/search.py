"""The tool ``search_memory``."""

from __future__ import annotations

from memupdate.broker.results import Outcome
from memupdate.memory import JSON, Operation
from memupdate.tools.parameter import Parameter, memory_type
from memupdate.tools.replies import NO_MEMORIES, one_line
from memupdate.tools.tool import CallContext, Tool


class SearchMemory(Tool):
    """Finds memories by meaning and shows them as ``[m12] 0.83 text``, best first."""

    name = "search_memory"
    description = "Find the memories closest in meaning to a query. Returns id, score and text of each, best first."
    parameters = (
        Parameter("query", "string", "What to look for: a question, or words of it.", required=True),
        Parameter("top_k", "integer", "How many memories to return, 1 or more. Default 5.", least=1),
        memory_type("Only memories of this type."),
        Parameter("threshold", "number", "Only memories with at least this score, 0 to 1.", least=0, most=1),
    )

    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the requested search operation."""
        return Operation("search", given)

    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns one line per memory."""
        lines = (f"[{found['id']}] {found['score']:.2f} {one_line(found['text'])}" for found in outcome.memories)
        return "\n".join(lines) or NO_MEMORIES
