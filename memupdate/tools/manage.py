"""The tool ``manage_memory``."""

from __future__ import annotations

from memupdate.broker.results import Outcome
from memupdate.errors import FieldError
from memupdate.memory import JSON, Operation
from memupdate.tools.parameter import Parameter, memory_type
from memupdate.tools.tool import CallContext, Tool


class ManageMemory(Tool):
    """Creates or updates a memory."""

    name = "manage_memory"
    description = "Create a new memory, or replace the content of an existing one."
    parameters = (
        Parameter(
            "operation",
            "string",
            "create adds a memory; update changes the memory given by memory_id.",
            required=True,
            choices=("create", "update"),
        ),
        Parameter("content", "string", "The full text of the memory, understandable on its own.", required=True),
        memory_type(
            "episodic: something that happened; semantic: a fact; procedural: how to do something. "
            "A new memory is episodic by default."
        ),
        Parameter("metadata", "object", "Anything else worth keeping as a JSON object."),
        Parameter("source", "string", "Where the content comes from."),
        Parameter("memory_id", "string", "The memory to update, such as m12. Only with update."),
    )

    def operation(self, given: dict[str, JSON], context: CallContext) -> Operation:
        """Returns the requested create or update operation.

        Raises:
            FieldError: an update has no ``memory_id``, or a create has one.
        """
        kind = str(given.pop("operation"))
        if kind == "update" and "memory_id" not in given:
            raise FieldError("memory_id", None, "the id of the memory to update")
        if kind == "create" and "memory_id" in given:
            raise FieldError("memory_id", given["memory_id"], "nothing for create (use update to change a memory)")
        return Operation(kind, given, context.key)

    def reply(self, operation: Operation, outcome: Outcome) -> str:
        """Returns a text with the action and the memory's id."""
        done = {"create": "Created", "update": "Updated"}[operation.kind]
        return f"{done} [{outcome.memory['id']}]."
