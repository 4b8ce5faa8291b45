"""The tool ``delete_memory``."""

from __future__ import annotations

from memupdate.broker.results import Outcome
from memupdate.memory import JSON, Operation
from memupdate.tools.parameter import Parameter
from memupdate.tools.tool import CallContext, Tool


class DeleteMemory(Tool):
    """Deletes a memory."""

    name = "delete_memory"
    description = "Remove a memory that is wrong, outdated or useless. What it says is lost."
    parameters = (
        Parameter("memory_id", "string", "The memory to remove, such as m12.", required=True),
        Parameter("reason", "string", "Why it is removed."),
    )

    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the requested delete operation."""
        return Operation("delete", given, context.key)

    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns a text with the id of the deleted memory."""
        return f"Deleted [{outcome.memory['id']}]."
