"""The six memory tools as LangChain tools, for any LangGraph agent."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from memupdate.integrations.background import relay, wait_for
from memupdate.integrations.banks import Banks
from memupdate.integrations.tool_caller import Reply, ToolCaller
from memupdate.tools.schemas import tool_schemas


def memory_tools(banks: Banks, namespace: str) -> list[BaseTool]:
    """The six tools on one bank, with the schemas and the texts that the policy is trained on.

    They work synchronously and asynchronously. A call that is wrong gives a tool message with status ``error``, which
    says what is allowed; the agent goes on.

    Args:
        banks: ``MemoryBroker`` in this process, or ``MemoryStoreManager`` for one on Ray.
        namespace: the bank, which must be open. It may be a store namespace's (``store_namespaces.bank_of``).
    """
    caller = ToolCaller(banks, namespace)
    return [_tool(caller, schema["function"]) for schema in tool_schemas()]


def _tool(caller: ToolCaller, function: dict[str, Any]) -> BaseTool:
    name: str = function["name"]

    def call(arguments: dict[str, Any]) -> Coroutine[Any, Any, Reply]:
        return caller.call(name, arguments)

    def invoke(**arguments: Any) -> str:
        return _text(wait_for(call(arguments)))

    async def ainvoke(**arguments: Any) -> str:
        return _text(await relay(call(arguments)))

    return StructuredTool(
        name=name,
        description=function["description"],
        args_schema=function["parameters"],
        func=invoke,
        coroutine=ainvoke,
        handle_tool_error=True,
    )


def _text(reply: Reply) -> str:
    if reply.is_error:
        raise ToolException(reply.text)  # the tool turns it into a message with status "error"
    return reply.text
