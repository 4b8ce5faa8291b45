"""The tools as verl loads them: one class per tool of the table. Their calls go to the broker.

verl makes one object of each class per worker, and calls create, execute and release for every tool call. So these
objects hold no state of a trajectory. Its bank is in the broker, under the namespace in ``create_kwargs``.
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
from memupdate.errors import FieldError
from memupdate.tools.calling import answer_call
from memupdate.tools.table import load_tool, verl_class_name
from memupdate.tools.tool import CallContext

Method = TypeVar("Method", bound=Callable[..., object])

# verl's decorator, with a type: verl gives it none.
_traced: Callable[[Method], Method] = rollout_trace_op


class MemoryTool(BaseTool):
    """One tool for verl. Subclasses set ``tool_name``.

    Args:
        config: the tool's ``config`` in the tool file.
        tool_schema: the schema that the model sees. It may omit optional parameters but not add any.

    Raises:
        FieldError: the schema is that of another tool, has a parameter that the tool does not have, or does not
            require a parameter that the tool requires.
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
            instance_id: the call's id; None to generate one.
            kwargs: ``create_kwargs``, a mapping with ``namespace`` and, optionally, ``broker_name`` and
                ``call_number``.

        Returns:
            The call's id, and an empty response.

        Raises:
            FieldError: there is no namespace.
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

        Args:
            instance_id: the id that ``create`` returned.
            parameters: the model's arguments.
            kwargs: ignored.

        Returns:
            The text for the model, a tool reward of 0.0, and ``{"error": bool}``, whether the text is an error. An
            error that the model can correct is returned as text.

        Raises:
            BrokerNotFoundError: no broker of this name answers.
            BrokerDeadlineError: a shard of the broker does not answer in time.
            UnknownNamespaceError: the namespace is not open.
        """
        context, broker_name = self._calls[instance_id]
        if broker_name not in self._brokers:
            self._brokers[broker_name] = await MemoryStoreManager.connect(broker_name)
        text, is_error = await answer_call(self._brokers[broker_name], self._tool, parameters, context)
        return ToolResponse(text=text), 0.0, {"error": is_error}

    async def release(self, instance_id: str, **kwargs: Any) -> None:
        """Forgets the call. The trajectory's bank stays open in the broker."""
        self._calls.pop(instance_id, None)


@functools.cache
def verl_class(name: str) -> type[MemoryTool]:
    """Returns the class for verl of a tool in the table, importable as ``memupdate.tools.{verl_class_name(name)}``.

    Raises:
        FieldError: there is no such tool.
    """
    members = {"tool_name": name, "__doc__": load_tool(name).__doc__, "__module__": "memupdate.tools"}
    return cast("type[MemoryTool]", type(verl_class_name(name), (MemoryTool,), members))
