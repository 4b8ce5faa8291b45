"""What is derived from the tools: schemas, verl's tool file, verl's classes; the six, and one of another package."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from installed_package import install_into
from langchain_core.utils.function_calling import convert_to_openai_tool
from mcp import Client
from verl.tools.tool_registry import initialize_tools_from_config

import memupdate.tools
from memupdate.broker import MemoryBroker, MemoryStoreManager
from memupdate.errors import FieldError
from memupdate.integrations import memory_server, memory_tools, open_bank
from memupdate.memory import Operation
from memupdate.tools import TOOLS, TrajectoryCounts, load_tool, tool_names
from memupdate.tools.schemas import main, tool_file, tool_schemas
from memupdate.tools.verl_tools import MemoryTool

ROOT = Path(__file__).resolve().parents[3]
EXTENDING = ROOT / "tests" / "extending"


@pytest.fixture
def recent_memories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tool of ``tests/extending/recent_memories.py``, as if its package were installed."""
    with installed("recent_memories = recent_memories:RecentMemories", tmp_path, monkeypatch):
        yield


@contextmanager
def installed(entry: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site = install_into(folder / "site", f"[memupdate.tools]\n{entry}\n")
    with monkeypatch.context() as path:
        path.syspath_prepend(str(site))
        path.syspath_prepend(str(EXTENDING))
        forget()
        try:
            yield
        finally:
            forget()


def forget() -> None:
    """A process reads the table once; here its packages change."""
    tool_names.cache_clear()
    load_tool.cache_clear()


def test_the_committed_tool_file_is_what_the_tools_give(tmp_path: Path) -> None:
    assert (ROOT / "configs" / "tool_config" / "memory_tools.yaml").read_text(encoding="utf-8") == tool_file()
    assert main([str(tmp_path / "new" / "tools.yaml")]) == 0
    assert (tmp_path / "new" / "tools.yaml").read_text(encoding="utf-8") == tool_file()


def test_a_tool_file_that_cannot_be_written_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / "file" / "tools.yaml")]) == 2
    assert "output: got" in capsys.readouterr().err


def test_the_model_reads_what_the_parameters_say() -> None:
    merge = next(schema["function"] for schema in tool_schemas() if schema["function"]["name"] == "merge_memory")
    assert merge == {
        "name": "merge_memory",
        "description": "Replace 2 to 5 memories by one that is made from them.",
        "parameters": {
            "type": "object",
            "properties": {
                "memory_ids": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": '2 to 5 different ids, such as ["m12", "m3"].',
                },
                "strategy": {
                    "type": "string",
                    "enum": ["summarize", "concatenate", "extract_common"],
                    "description": "summarize: their sentences without repetition; concatenate: all texts in full; "
                    "extract_common: only what they share.",
                },
            },
            "required": ["memory_ids", "strategy"],
        },
    }


def test_verl_s_classes_have_their_names_everywhere() -> None:
    for name in TOOLS:
        kind = getattr(memupdate.tools, "".join(word.capitalize() for word in name.split("_")) + "Tool")
        assert issubclass(kind, MemoryTool)
        assert (kind.tool_name, pickle.loads(pickle.dumps(kind))) == (name, kind)
    for wrong in ("ForgetEverythingTool", "Tools", "RecentMemoriesTool"):
        with pytest.raises(AttributeError, match=wrong):
            getattr(memupdate.tools, wrong)


@pytest.mark.usefixtures("recent_memories")
def test_a_tool_of_another_package_is_shown_and_counted(tmp_path: Path) -> None:
    names = [*TOOLS]
    assert names[-1] == "recent_memories"
    shown = {
        "name": "recent_memories",
        "description": "Look at the newest memories of the bank, newest first.",
        "parameters": {
            "type": "object",
            "properties": {"count": {"type": "integer", "description": "How many memories, 1 to 20."}},
            "required": ["count"],
        },
    }
    assert tool_schemas()[-1] == {"type": "function", "function": shown}
    assert [tool["tool_schema"]["function"]["name"] for tool in yaml.safe_load(tool_file())["tools"]] == names
    assert {"calls_recent_memories", "errors_recent_memories"} <= TrajectoryCounts().to_fields().keys()
    banks = MemoryBroker(None)
    open_bank(banks, "t1")
    agent = [convert_to_openai_tool(tool)["function"] for tool in memory_tools(banks, "t1")]
    assert agent[-1]["name"] == "recent_memories"
    assert agent[-1]["parameters"]["properties"] == shown["parameters"]["properties"]


@pytest.mark.usefixtures("recent_memories")
def test_a_tool_of_another_package_is_called_over_mcp() -> None:
    async def talking() -> list[Any]:
        banks = MemoryBroker(None)
        await banks.open("memory")
        async with Client(memory_server(banks)) as client:
            assert "recent_memories" in [tool.name for tool in (await client.list_tools()).tools]
            answers = [await client.call_tool("recent_memories", {"count": 2})]
            await banks.run("memory", [Operation("create", {"content": f"fact {number}"}) for number in range(3)])
            answers.append(await client.call_tool("recent_memories", {"count": 2}))
            answers.append(await client.call_tool("recent_memories", {"count": 21}))
            return [answer.content[0].text for answer in answers]

    assert asyncio.run(talking()) == [
        "No memories yet.",
        "[m3] fact 2\n[m2] fact 1",
        "Error: count: got 21; allowed: a whole number from 1 to 20",
    ]


@pytest.mark.usefixtures("recent_memories")
def test_verl_loads_and_calls_a_tool_of_another_package(client: MemoryStoreManager, tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    assert main([str(path)]) == 0
    tool = initialize_tools_from_config(path)[-1]
    assert isinstance(tool, MemoryTool)

    async def scenario() -> str:
        await client.open("t1", "conv-a")
        instance, _ = await tool.create(create_kwargs={"namespace": "t1", "broker_name": "test_broker"})
        response, _, result = await tool.execute(instance, {"count": 1})
        assert result == {"error": False}
        return str(response.text)

    assert asyncio.run(scenario()) == "[m2] Ana likes tea"


@pytest.mark.parametrize("place", ["recent_memories:Operation", "memupdate.tools.search:SearchMemory"])
def test_an_entry_that_is_no_tool_of_its_name_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        installed(f"other_tool = {place}", tmp_path, monkeypatch),
        pytest.raises(FieldError, match="a Tool class whose name is 'other_tool'"),
    ):
        load_tool("other_tool")
