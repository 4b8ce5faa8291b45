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
    """Returns every tool of the table, on one bank, with the schemas and the texts that the policy is trained on.

    They work synchronously and asynchronously. A wrong call gives a tool message with status ``error`` that says what
    is allowed, and the agent goes on.

    Args:
        banks: ``MemoryBroker`` in this process, or ``MemoryStoreManager`` for one on Ray.
        namespace: the bank, which must be open. It may be a store namespace's (``store_namespaces.bank_of``).
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
        raise ToolException(reply.text)  # the tool turns it into a message with status "error"
    return reply.text
