"""The tools as verl loads them: one class for each tool of the table, which asks the broker.

verl makes one object of a class per worker and calls create, execute and release for every single call. So nothing of a
trajectory is kept here: its bank is in the broker, under the namespace in ``create_kwargs``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
from verl.utils.rollout_trace import rollout_trace_op

from memupdate.broker import DEFAULT_BROKER_NAME, MemoryStoreManager
from memupdate.errors import FieldError, MemupdateError
from memupdate.tools.replies import error_text
from memupdate.tools.table import load_tool, verl_class_name
from memupdate.tools.tool import CallContext

Method = TypeVar("Method", bound=Callable[..., object])

# verl's decorator, which has no types of its own.
_traced: Callable[[Method], Method] = rollout_trace_op


class MemoryTool(BaseTool):
    """One tool for verl; a subclass says which.

    Args:
        config: the tool's ``config`` in the tool file.
        tool_schema: what the model is shown. It may leave optional parameters out, but not add any.

    Raises:
        FieldError: the schema is of another tool, shows a parameter that the tool does not have, or does not require
            one that every call must give.
    """

    tool_name: ClassVar[str]

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema) -> None:
        super().__init__(config, tool_schema)
        if self.name != self.tool_name:
            raise FieldError("tool_schema.function.name", self.name, self.tool_name)
        self._tool = load_tool(self.tool_name)
        shown = self.tool_schema.function.parameters
        names = [parameter.name for parameter in self._tool.parameters]
        for name in shown.properties:
            if name not in names:
                raise FieldError(f"{self.tool_name}.properties", name, ", ".join(names))
        for parameter in self._tool.parameters:
            if parameter.required and parameter.name not in shown.required:
                raise FieldError(f"{self.tool_name}.required", list(shown.required), f"a list with {parameter.name}")
        self._calls: dict[str, tuple[CallContext, str]] = {}
        self._numbers = itertools.count()
        self._brokers: dict[str, MemoryStoreManager] = {}

    async def create(self, instance_id: str | None = None, **kwargs: Any) -> tuple[str, ToolResponse]:
        """Prepares one call.

        Args:
            instance_id: a name for the call; None makes one.
            kwargs: ``create_kwargs`` holds ``namespace`` and, optionally, ``broker_name`` and ``call_number``.

        Returns:
            The call's name, and an empty response.

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

    @_traced
    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Runs the call.

        Returns:
            The text for the model, no reward of its own (0.0), and ``{"error": bool}``: whether the text is an error.
            An error that the model can correct is text. A broker that is gone, or a namespace that is not open, raises.
        """
        context, broker_name = self._calls[instance_id]
        try:
            operation = self._tool.parse(parameters, context)
        except MemupdateError as error:
            return ToolResponse(text=error_text(error)), 0.0, {"error": True}
        if broker_name not in self._brokers:
            self._brokers[broker_name] = await MemoryStoreManager.connect(broker_name)
        (outcome,) = await self._brokers[broker_name].run(context.namespace, [operation])
        if outcome.error:
            return ToolResponse(text=error_text(outcome.error)), 0.0, {"error": True}
        return ToolResponse(text=self._tool.reply(operation, outcome)), 0.0, {"error": False}

    async def release(self, instance_id: str, **kwargs: Any) -> None:
        """Forgets the call. The trajectory's bank stays in the broker."""
        self._calls.pop(instance_id, None)


@functools.cache
def verl_class(name: str) -> type[MemoryTool]:
    """Returns verl's class of a tool of the table, importable as ``memupdate.tools.{verl_class_name(name)}``.

    Raises:
        FieldError: there is no such tool.
    """
    members = {"tool_name": name, "__doc__": load_tool(name).__doc__, "__module__": "memupdate.tools"}
    return cast("type[MemoryTool]", type(verl_class_name(name), (MemoryTool,), members))
