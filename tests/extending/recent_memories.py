"""A tool of your own: ``recent_memories(count)`` shows the newest memories of the bank."""

from __future__ import annotations

from memupdate.broker import Outcome
from memupdate.memory import JSON, Operation
from memupdate.tools import CallContext, Parameter, Tool


class RecentMemories(Tool):
    """Shows the newest memories: ``[m12] text``, newest first."""

    name = "recent_memories"
    description = "Look at the newest memories of the bank, newest first."
    parameters = (Parameter("count", "integer", "How many memories, 1 to 20.", required=True, least=1, most=20),)

    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the operation that the broker applies to the bank. The arguments are checked already."""
        return Operation("sample", {"k": given["count"], "strategy": "recent"})

    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns the text that the model reads."""
        return "\n".join(f"[{memory['id']}] {memory['text']}" for memory in outcome.memories) or "No memories yet."
