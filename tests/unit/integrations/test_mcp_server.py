"""The MCP server in this process: tools, schemas, errors, imports. Transports are in the integration tests."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from in_process_broker import write_conversation
from mcp import Client

from memupdate.broker import MemoryBroker
from memupdate.errors import DataError, FieldError
from memupdate.integrations import RefusedError, memory_server
from memupdate.integrations.mcp_command import main, parsed_address
from memupdate.integrations.mcp_server import NAMESPACE, import_memories
from memupdate.tools.schemas import tool_schemas


def talk(broker: MemoryBroker, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """The tools that a client is shown, and the answers to its calls."""

    async def talking() -> tuple[list[Any], list[Any]]:
        await broker.open(NAMESPACE)
        async with Client(memory_server(broker)) as client:
            tools = (await client.list_tools()).tools
            return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(talking())


def test_a_client_sees_the_trained_schemas_and_the_tools_work() -> None:
    tools, answers = talk(
        MemoryBroker(None),
        ("manage_memory", {"operation": "create", "content": "Ana drinks tea"}),
        ("search_memory", {"query": "tea"}),
    )
    shown = [{"name": t.name, "description": t.description, "parameters": t.input_schema} for t in tools]
    assert shown == [schema["function"] for schema in tool_schemas()]
    assert [answer.content[0].text for answer in answers] == ["Created [m1].", "[m1] 0.58 Ana drinks tea"]
    assert not any(answer.is_error for answer in answers)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("search_memory", {}, "Error: query: got None; allowed: a string"),
        ("search_memory", {"query": "x", "top": 3}, "Error: top: got 3; allowed: search_memory takes query"),
        ("delete_memory", {"memory_id": "m9"}, "Error: memory_id: 'm9' is not in the bank"),
        (
            "manage_memory",
            {"operation": "create", "content": "x", "metadata": json.loads('{"a":' * 65 + "1" + "}" * 65)},
            "Error: metadata: got 'a value with more levels'; allowed: lists and objects nested at most 64 levels deep",
        ),
        ("forget", {}, "Error: tool: got 'forget'; allowed: search_memory, manage_memory"),
    ],
)
def test_u17_a_wrong_call_is_a_tool_error_that_the_model_reads(name: str, arguments: dict[str, Any], text: str) -> None:
    _, (answer,) = talk(MemoryBroker(None), (name, arguments))
    assert answer.is_error
    assert answer.content[0].text.startswith(text)


def test_memories_are_imported_once_under_their_ids(tmp_path: Path) -> None:
    write_conversation(tmp_path, "conv", ["Ana drinks tea", "Ana has a dog"], speaker="Ana", evidence=("D1:1",))
    file = tmp_path / "conv.jsonl"

    async def importing() -> list[dict[str, Any]]:
        broker = MemoryBroker(None)
        await broker.open(NAMESPACE)
        assert await import_memories(broker, file) == 2
        async with Client(memory_server(broker)) as client:
            await client.call_tool("delete_memory", {"memory_id": "m1"})
        assert await import_memories(broker, file) == 2  # brings nothing back
        kept = await broker.list_memories(NAMESPACE)
        changed = [{**json.loads(line), "content": "other"} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(record) + "\n" for record in changed))
        with pytest.raises(RefusedError, match="import#m1"):
            await import_memories(broker, file)
        return kept

    (memory,) = asyncio.run(importing())
    assert (memory["id"], memory["speaker"], memory["evidence"]) == ("m2", "Ana", ["D1:1"])
    file.write_text("{")
    with pytest.raises(DataError, match=r"conv\.jsonl:1"):
        asyncio.run(import_memories(MemoryBroker(None), file))


def test_addresses() -> None:
    assert parsed_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert parsed_address("[::1]:8765") == ("::1", 8765)
    for wrong in ("8765", ":8765", "localhost", "localhost:http", "localhost:0", "localhost:65536"):
        with pytest.raises(FieldError, match="HOST:PORT"):
            parsed_address(wrong)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--http", "8765"], "memupdate mcp: --http: got '8765'; allowed: HOST:PORT"),
        (["--embedder", "word2vec"], "memupdate mcp: embedder: got 'word2vec'"),
        (["--memories", "absent.jsonl"], "memupdate mcp: absent.jsonl: expected a readable"),
    ],
)
def test_the_command_refuses_what_it_cannot_serve(
    words: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bank", str(tmp_path / "bank"), *words]) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.out == ""


def test_a_port_in_use_is_named_and_no_bank_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["--bank", str(tmp_path / "bank"), "--http", address]) == 2
    assert f"--http: got '{address}'; allowed: an address of this machine whose port is free" in capsys.readouterr().err
    assert not (tmp_path / "bank").exists()
