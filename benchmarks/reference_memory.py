"""The reference MCP memory server, an npm package, for ``durability.py``."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

PACKAGE = "@modelcontextprotocol/server-memory"


async def kept(server: Path, file: Path, each: int) -> int:
    """Returns how many entities the reference server keeps when two processes of it write ``each`` to one file."""
    script = server / "node_modules" / PACKAGE / "dist" / "index.js"
    command = StdioServerParameters(command="node", args=[str(script)], env={"MEMORY_FILE_PATH": str(file)})
    async with AsyncExitStack() as running:
        sessions = []
        for _ in range(2):
            streams = await running.enter_async_context(stdio_client(command))
            sessions.append(await running.enter_async_context(ClientSession(*streams)))
            await sessions[-1].initialize()

        async def write(place: int, number: int) -> None:
            entity = {"name": f"{place} {number}", "entityType": "fact", "observations": ["written"]}
            answer = await sessions[place].call_tool("create_entities", {"entities": [entity]})
            if answer.is_error:
                raise RuntimeError(f"the reference server refused a write: {answer.content}")

        for number in range(each):
            await asyncio.gather(write(0, number), write(1, number))
        graph = await sessions[0].call_tool("read_graph", {})
    if graph.is_error:
        return 0  # the file cannot be read any more
    return len(json.loads(graph.content[0].text)["entities"])


def installed(server: Path | None, folder: Path) -> Path:
    """Returns the folder with the reference server. Installs it if none is given."""
    if server is not None:
        return server
    folder.mkdir()
    subprocess.run(["npm", "install", "--no-fund", "--no-audit", PACKAGE], cwd=folder, check=True, capture_output=True)
    return folder


def version(server: Path) -> str:
    """Returns the name and the version of the installed package."""
    package = json.loads((server / "node_modules" / PACKAGE / "package.json").read_text())
    return f"{PACKAGE} {package['version']}"
