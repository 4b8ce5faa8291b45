"""The MCP server as its users start it: over stdio and over HTTP, with MCP's own client, and a bank that lasts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process_broker import write_conversation
from mcp import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from memupdate.tools.schemas import tool_schemas

DEADLINE_S = 60.0


@contextlib.asynccontextmanager
async def over_stdio(*words: str) -> AsyncIterator[ClientSession]:
    server = StdioServerParameters(command=sys.executable, args=["-m", "memupdate", "mcp", *words])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield session


@contextlib.contextmanager
def http_server(*words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server's address, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "memupdate", "mcp", "--http", f"127.0.0.1:{port}", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "the server did not start"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp", process
    finally:
        process.kill()
        process.wait(10)


@contextlib.asynccontextmanager
async def over_http(url: str) -> AsyncIterator[ClientSession]:
    async with streamable_http_client(url) as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        yield session


async def call(session: ClientSession, name: str, **arguments: Any) -> str:
    answer = await session.call_tool(name, arguments)
    assert not answer.is_error, answer
    return answer.content[0].text


async def all_six(session: ClientSession) -> None:
    shown = (await session.list_tools()).tools
    assert [tool.input_schema for tool in shown] == [schema["function"]["parameters"] for schema in tool_schemas()]
    assert (
        await call(session, "manage_memory", operation="create", content="Ana has a cat. It is old.") == "Created [m3]."
    )
    assert await call(session, "manage_memory", operation="update", memory_id="m1", content="tea") == "Updated [m1]."
    assert await call(session, "split_memory", memory_id="m3", split_criteria="thematic") == "Split into [m4] [m5]."
    assert await call(session, "merge_memory", memory_ids=["m1", "m2"], strategy="concatenate") == "Merged into [m6]."
    assert await call(session, "delete_memory", memory_id="m4") == "Deleted [m4]."
    assert (await call(session, "sample_memory", k=1, strategy="recent")).startswith("[m6]")
    assert (await call(session, "search_memory", query="tea", top_k=1)).startswith("[m6]")
    wrong = await session.call_tool("delete_memory", {"memory_id": "m4"})
    assert wrong.is_error and "'m4' is not in the bank" in wrong.content[0].text


@pytest.fixture
def memories(tmp_path: Path) -> Path:
    write_conversation(tmp_path, "conv", ["Ana drinks tea", "Ana has a dog"])
    return tmp_path / "conv.jsonl"


def test_the_six_tools_over_stdio_and_a_bank_that_lasts(tmp_path: Path, memories: Path) -> None:
    bank = ("--bank", str(tmp_path / "bank"))

    async def talk() -> None:
        async with over_stdio(*bank, "--memories", str(memories)) as session:
            await all_six(session)
        async with over_stdio(*bank, "--memories", str(memories)) as session:  # imports nothing again
            found = (await call(session, "search_memory", query="tea", top_k=9)).splitlines()
            assert sorted(line.split()[0] for line in found) == ["[m5]", "[m6]"]
            assert await call(session, "manage_memory", operation="create", content="new") == "Created [m7]."

    asyncio.run(asyncio.wait_for(talk(), DEADLINE_S))


def test_the_six_tools_over_http_for_several_clients_and_after_a_kill(tmp_path: Path, memories: Path) -> None:
    bank = ("--bank", str(tmp_path / "bank"))

    async def one(url: str) -> None:
        async with over_http(url) as session:
            await all_six(session)

    async def two(url: str) -> None:
        async with over_http(url) as first, over_http(url) as second:
            assert await call(first, "manage_memory", operation="create", content="said by one") == "Created [m7]."
            assert "[m7]" in await call(second, "search_memory", query="said by one", top_k=1)

    with http_server(*bank, "--memories", str(memories)) as (url, process):
        asyncio.run(asyncio.wait_for(one(url), DEADLINE_S))
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with http_server(*bank) as (url, process):
        asyncio.run(asyncio.wait_for(two(url), DEADLINE_S))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout is not None and process.stdout.read() == ""


@pytest.mark.slow
def test_a_bank_serves_one_process_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "memupdate", "mcp", "--bank", str(tmp_path / "bank")]
    with http_server("--bank", str(tmp_path / "bank")):
        refused = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    assert refused.returncode == 2
    assert refused.stderr.startswith("memupdate mcp: ")


def test_a_folder_of_the_users_own_files_is_refused_and_not_touched(tmp_path: Path) -> None:
    """Only the last of such files was left once."""
    folder = tmp_path / "exports"
    folder.mkdir()
    for name in ("20240101.jsonl", "20240102.jsonl", "chat.jsonl", "draft.new"):
        (folder / name).write_text('{"text": "mine"}\n')
    before = {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    refused = subprocess.run(
        [sys.executable, "-m", "memupdate", "mcp", "--bank", str(folder)],
        input="",
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("memupdate mcp: ")
    assert "allowed: a folder that is new or empty, or one with a journal" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
