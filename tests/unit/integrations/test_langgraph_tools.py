"""The six tools for agents: the trained schemas and texts, errors the model reads, and the example."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from memupdate.broker import MemoryBroker
from memupdate.integrations import memory_tools
from memupdate.tools import TOOLS
from memupdate.tools.schemas import tool_schemas

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "langgraph_agent.py"


def message(tools: list[Any], name: str, face: str, **arguments: Any) -> ToolMessage:
    (tool,) = [tool for tool in tools if tool.name == name]
    call = {"type": "tool_call", "id": "1", "name": name, "args": arguments}
    return tool.invoke(call) if face == "sync" else asyncio.run(tool.ainvoke(call))


def test_the_model_sees_the_schemas_it_was_trained_on(broker: MemoryBroker, trajectory: str) -> None:
    shown = [convert_to_openai_tool(tool) for tool in memory_tools(broker, trajectory)]
    assert [schema["function"]["name"] for schema in shown] == list(TOOLS)
    for schema, trained in zip(shown, tool_schemas(), strict=True):
        assert schema["function"]["description"] == trained["function"]["description"]
        assert schema["function"]["parameters"]["properties"] == trained["function"]["parameters"]["properties"]
        assert schema["function"]["parameters"]["required"] == trained["function"]["parameters"]["required"]


@pytest.mark.parametrize("face", ["sync", "async"])
def test_the_six_tools_do_what_they_say(broker: MemoryBroker, trajectory: str, face: str) -> None:
    tools = memory_tools(broker, trajectory)

    def call(name: str, **arguments: Any) -> str:
        replied = message(tools, name, face, **arguments)
        assert replied.status == "success", replied.content
        return str(replied.content)

    assert call("search_memory", query="green tea", top_k=1) == "[m1] 0.71 Caroline likes green tea"
    assert call("manage_memory", operation="create", content="Caroline has a cat. It is old.") == "Created [m4]."
    assert call("manage_memory", operation="update", memory_id="m1", content="likes black tea") == "Updated [m1]."
    assert call("sample_memory", k=1, strategy="recent").startswith("[m4]")
    assert call("merge_memory", memory_ids=["m1", "m2"], strategy="concatenate") == "Merged into [m5]."
    assert call("split_memory", memory_id="m4", split_criteria="thematic") == "Split into [m6] [m7]."
    assert call("delete_memory", memory_id="m3", reason="outdated") == "Deleted [m3]."
    assert call("search_memory", query="cat", memory_type="procedural") == "No memories found."


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("search_memory", {"query": ""}, "Error: query: got ''; allowed: text that is not empty"),
        ("delete_memory", {"memory_id": "m99"}, "Error: memory_id: 'm99' is not in the bank"),
        ("manage_memory", {"operation": "add", "content": "x"}, "Error: operation: got 'add'; allowed: create, update"),
        ("manage_memory", {"content": "x"}, "Error: operation: got None"),
        ("sample_memory", {"k": "three"}, "Error: k: got 'three'; allowed: a whole number"),
    ],
)
def test_u17_a_wrong_call_is_an_error_message_for_the_model(
    broker: MemoryBroker, trajectory: str, name: str, arguments: dict[str, Any], text: str, face: str
) -> None:
    replied = message(memory_tools(broker, trajectory), name, face, **arguments)
    assert replied.status == "error"
    assert str(replied.content).startswith(text)


def test_a_bank_that_is_not_open_is_an_error_message(broker: MemoryBroker) -> None:
    replied = message(memory_tools(broker, "typo"), "search_memory", "sync", query="tea")
    assert "'typo' is not open" in str(replied.content)


def test_two_agents_on_one_bank_do_not_share_idempotency_keys(broker: MemoryBroker, trajectory: str) -> None:
    for number in range(2):
        tools = memory_tools(broker, trajectory)
        replied = message(tools, "manage_memory", "sync", operation="create", content=f"fact {number}")
        assert replied.content == f"Created [m{4 + number}]."


def test_the_example_agent_recovers_from_an_error_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("langgraph_agent", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    assert example.main([]) == 0
    shown = capsys.readouterr().out
    assert "tool: Error: operation: got 'add'; allowed: create, update" in shown
    assert "tool: Created [m1]." in shown
    assert "ai: You live in Oslo." in shown
    assert "in the memory, as LangGraph's store sees it: [m1]" in shown
    with pytest.raises(SystemExit):
        example.main(["something else"])
