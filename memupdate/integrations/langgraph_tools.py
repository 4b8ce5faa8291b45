"""The memory tools as LangChain tools, for any LangGraph agent."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from memupdate.broker import BankService
from memupdate.integrations.background import relay, wait_for
from memupdate.integrations.tool_caller import Reply, ToolCaller
from memupdate.tools import load_tool, tool_names
from memupdate.tools.schemas import parameters_schema


def memory_tools(banks: BankService, namespace: str) -> list[BaseTool]:
    """Returns all tools of the table for one bank. Their schemas and reply texts are those of the policy's training.

    The tools work synchronously and asynchronously. An invalid call gives a tool message with status ``error`` that
    says what is allowed, and the agent continues.

    Args:
        banks: a ``MemoryBroker`` in this process, or a ``MemoryStoreManager`` for a broker on Ray.
        namespace: the namespace of an open bank. It may be the bank of a store's namespace
            (``store_namespaces.bank_of``).
    """
    caller = ToolCaller(banks, namespace)
    return [_tool(caller, name) for name in tool_names()]


def _tool(caller: ToolCaller, name: str) -> BaseTool:
    def call(arguments: dict[str, Any]) -> Coroutine[Any, Any, Reply]:
        return caller.call(name, arguments)

    def invoke(**arguments: Any) -> str:
        return _text(wait_for(call(arguments)))

    async def ainvoke(**arguments: Any) -> str:
        return _text(await relay(call(arguments)))

    return StructuredTool(
        name=name,
        description=load_tool(name).description,
        args_schema=parameters_schema(name),
        func=invoke,
        coroutine=ainvoke,
        handle_tool_error=True,
    )


def _text(reply: Reply) -> str:
    if reply.is_error:
        raise ToolException(reply.text)  # LangChain turns it into a tool message with status "error"
    return reply.text
