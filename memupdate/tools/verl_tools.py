"""The six tools as verl loads them: a shell over ``calls`` that asks the broker.

verl makes one tool object per worker and runs create, execute and release for every single call, so nothing of a
trajectory is kept here: its bank is in the broker, under the namespace in ``create_kwargs``.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
from verl.utils.rollout_trace import rollout_trace_op

from memupdate.broker import DEFAULT_BROKER_NAME, MemoryStoreManager
from memupdate.errors import FieldError, MemupdateError
from memupdate.tools.calls import TOOLS, CallContext, error_text, parse_call, result_text


class MemoryTool(BaseTool):
    """One memory tool; the subclass says which.

    Args:
        config: the tool's ``config`` in the tool file.
        tool_schema: what the model is shown. It may leave optional parameters out, but not add any.

    Raises:
        FieldError: the schema is of another tool, shows a parameter that the tool does not have, or lacks one that a
            call must give.
    """

    tool_name: ClassVar[str]

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema) -> None:
        super().__init__(config, tool_schema)
        if self.name != self.tool_name:
            raise FieldError("tool_schema.function.name", self.name, self.tool_name)
        shown = self.tool_schema.function.parameters
        parameters = TOOLS[self.tool_name]
        for name in shown.properties:
            if name not in parameters:
                raise FieldError(f"{self.tool_name}.properties", name, ", ".join(parameters))
        for name, parameter in parameters.items():
            if parameter.required and name not in shown.required:
                raise FieldError(f"{self.tool_name}.required", list(shown.required), f"a list with {name}")
        self._calls: dict[str, tuple[CallContext, str]] = {}
        self._numbers = itertools.count()
        self._brokers: dict[str, MemoryStoreManager] = {}

    async def create(self, instance_id: str | None = None, **kwargs: Any) -> tuple[str, ToolResponse]:
        """Prepare one call.

        Args:
            instance_id: the call's name here; made if None.
            kwargs: ``create_kwargs`` holds ``namespace`` and, optionally, ``broker_name`` and ``call_number``.

        Raises:
            FieldError: no namespace was given.
        """
        given = kwargs.get("create_kwargs") or {}
        namespace = given.get("namespace")
        if not isinstance(namespace, str) or not namespace:
            raise FieldError("create_kwargs.namespace", namespace, "the trajectory's namespace, opened on the broker")
        instance_id = instance_id or f"{self.name}-{next(self._numbers)}"
        context = CallContext(namespace, given.get("call_number"))
        self._calls[instance_id] = context, given.get("broker_name", DEFAULT_BROKER_NAME)
        return instance_id, ToolResponse()

    @rollout_trace_op
    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Run the call.

        Returns:
            The text for the model, no reward of its own (0.0), and ``{"error": bool}``: whether the text is an error.
            Errors that the model can mend are text; a broker that is gone, or a namespace that is not open, raises.
        """
        context, broker_name = self._calls[instance_id]
        try:
            operation = parse_call(self.name, parameters, context)
        except MemupdateError as error:
            return ToolResponse(text=error_text(error)), 0.0, {"error": True}
        if broker_name not in self._brokers:
            self._brokers[broker_name] = await MemoryStoreManager.connect(broker_name)
        (outcome,) = await self._brokers[broker_name].run(context.namespace, [operation])
        if outcome.error:
            return ToolResponse(text=error_text(outcome.error)), 0.0, {"error": True}
        return ToolResponse(text=result_text(operation, outcome.value)), 0.0, {"error": False}

    async def release(self, instance_id: str, **kwargs: Any) -> None:
        """Forget the call; the trajectory's bank stays in the broker."""
        self._calls.pop(instance_id, None)


class SearchMemoryTool(MemoryTool):
    """Finds memories: ``[m12] 0.83 text``, best first."""

    tool_name = "search_memory"


class ManageMemoryTool(MemoryTool):
    """Creates or updates a memory."""

    tool_name = "manage_memory"


class DeleteMemoryTool(MemoryTool):
    """Deletes a memory."""

    tool_name = "delete_memory"


class SampleMemoryTool(MemoryTool):
    """Shows some memories: ``[m12] text``."""

    tool_name = "sample_memory"


class MergeMemoryTool(MemoryTool):
    """Merges 2 to 5 memories into one."""

    tool_name = "merge_memory"


class SplitMemoryTool(MemoryTool):
    """Splits a memory into 2 to 5."""

    tool_name = "split_memory"
