"""The classes that verl loads: create, execute and release as its tool loop calls them, once per tool call.

Rows U10, U17.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from verl.tools.schemas import OpenAIFunctionToolSchema
from verl.tools.tool_registry import initialize_tools_from_config

from memupdate.broker import MemoryStoreManager, UnknownNamespaceError
from memupdate.errors import FieldError
from memupdate.tools import TOOLS, DeleteMemoryTool, ManageMemoryTool, MemoryTool, SearchMemoryTool, load_tool

TOOL_FILE = Path(__file__).resolve().parents[3] / "configs" / "tool_config" / "memory_tools.yaml"


def schema_of(tool: str, **changes: Any) -> OpenAIFunctionToolSchema:
    parameters = load_tool(tool).parameters
    function: dict[str, Any] = {
        "name": tool,
        "description": tool,
        "parameters": {
            "type": "object",
            "properties": {parameter.name: {"type": "string"} for parameter in parameters},
            "required": [parameter.name for parameter in parameters if parameter.required],
        },
    }
    return OpenAIFunctionToolSchema.model_validate({"type": "function", "function": function | changes})


def tool_of(kind: type[MemoryTool]) -> MemoryTool:
    return kind({"type": "native"}, schema_of(kind.tool_name))


async def call(tool: MemoryTool, arguments: dict[str, Any], namespace: str = "t1") -> tuple[str, bool]:
    """One call as verl makes it."""
    instance_id, _ = await tool.create(create_kwargs={"namespace": namespace, "broker_name": "test_broker"})
    try:
        response, reward, result = await tool.execute(instance_id, arguments, agent_data=None)
    finally:
        await tool.release(instance_id)
    assert reward == 0.0
    return str(response.text), result["error"]


def test_state_survives_release_because_it_is_in_the_broker(client: MemoryStoreManager) -> None:
    async def scenario() -> None:
        await client.open("t1", "conv-a")
        manage, search, delete = tool_of(ManageMemoryTool), tool_of(SearchMemoryTool), tool_of(DeleteMemoryTool)
        create = {"operation": "create", "content": "Ana has a cat"}
        assert await call(manage, create) == ("Created [m3].", False)
        assert await call(search, {"query": "Ana has a cat", "top_k": 1}) == ("[m3] 1.00 Ana has a cat", False)
        assert await call(delete, {"memory_id": "m1"}) == ("Deleted [m1].", False)
        assert await call(delete, {"memory_id": "m1"}) == (
            "Error: memory_id: 'm1' is not in the bank; allowed: an id that search_memory returned",
            True,
        )
        assert (await client.stats("t1"))["count"] == 2

    asyncio.run(scenario())


def test_u10_an_empty_query_gives_an_error_text(client: MemoryStoreManager) -> None:
    async def scenario() -> None:
        await client.open("t1", "conv-a")
        text, failed = await call(tool_of(SearchMemoryTool), {"query": "  "})
        assert failed
        assert text == "Error: query: got '  '; allowed: text that is not empty"

    asyncio.run(scenario())


def test_u17_a_missing_parameter_does_not_reach_the_broker(client: MemoryStoreManager) -> None:
    text, failed = asyncio.run(call(tool_of(DeleteMemoryTool), {}, namespace="never opened"))
    assert failed
    assert text == "Error: memory_id: got None; allowed: a string"


def test_a_namespace_that_is_not_open_is_no_text_for_the_model(client: MemoryStoreManager) -> None:
    with pytest.raises(UnknownNamespaceError):
        asyncio.run(call(tool_of(SearchMemoryTool), {"query": "tea"}, namespace="tpyo"))


def test_two_calls_of_one_tool_at_once_do_not_mix(client: MemoryStoreManager) -> None:
    async def scenario() -> None:
        manage = tool_of(ManageMemoryTool)
        for namespace in ("t1", "t2"):
            await client.open(namespace, "conv-a")
        await asyncio.gather(
            *(call(manage, {"operation": "create", "content": f"of {name}"}, name) for name in ("t1", "t2"))
        )
        for namespace in ("t1", "t2"):
            assert (await client.list_memories(namespace))[-1]["content"] == f"of {namespace}"

    asyncio.run(scenario())


def test_a_call_without_a_namespace_is_refused() -> None:
    with pytest.raises(FieldError, match=r"create_kwargs\.namespace"):
        asyncio.run(tool_of(SearchMemoryTool).create(create_kwargs={}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "find_memory"}, "tool_schema.function.name"),
        (
            {"parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["query"]}},
            "search_memory.properties",
        ),
        (
            {"parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": []}},
            "search_memory.required",
        ),
    ],
)
def test_a_schema_that_the_tool_would_refuse_is_refused_at_start(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        SearchMemoryTool({}, schema_of("search_memory", **changes))
    assert caught.value.field == field


def test_verl_loads_the_six_tools_from_the_tool_file() -> None:
    tools = initialize_tools_from_config(TOOL_FILE)
    assert [tool.name for tool in tools] == list(TOOLS)
    for tool in tools:
        shown = tool.tool_schema.function.parameters
        parameters = load_tool(tool.name).parameters
        assert list(shown.properties) == [parameter.name for parameter in parameters]
        assert shown.required == [parameter.name for parameter in parameters if parameter.required]
        for parameter in parameters:
            assert shown.properties[parameter.name].type == {"strings": "array"}.get(parameter.kind, parameter.kind)
            assert tuple(shown.properties[parameter.name].enum or ()) == parameter.choices
