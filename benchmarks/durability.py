"""Counts what is lost: by the broker when it is killed, and by the reference MCP memory server with two processes.

    python benchmarks/durability.py [--quick] [--out FILE] [--server FOLDER] [--operations N]

``broker``: eight processes use a shard of the broker with its journal, while it is killed with SIGKILL about every
second. The shard is that of the Ray actor, served over a socket (``tests/served_shard.py``). The histories of all banks
are checked for linearizability by the tests' checker. Every value that a bank holds in the end is read, so a lost write
that nobody overwrote makes a history that is not linearizable.

``two_processes``: two processes make 10 writes each to the same memory, at the same time. ``kept`` is how many of the
20 acknowledged writes are there afterwards, in each of several rounds. The reference server is the npm package
``@modelcontextprotocol/server-memory``, two processes of it on one file; ``--server`` names a folder where npm has
installed it. Without it, npm installs it into a temporary folder.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import common
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from memupdate.memory import Operation

sys.path.insert(0, str(common.ROOT / "tests"))
from killed_broker import PROCESSES, TURN, use_served  # of the tests
from served_shard import ServedShard, SocketClient, processes

PACKAGE = "@modelcontextprotocol/server-memory"
EACH = 10


def killed(folder: Path, operations: int) -> dict[str, Any]:
    """Kills the broker while it is used."""
    found = use_served(ServedShard(folder), operations, every_s=1.0, deadline_s=600)
    return {
        "processes": PROCESSES,
        "operations_per_call": TURN,
        "operations": found.operations,
        "acknowledged_writes": found.writes,
        "unknown_outcomes": found.unknown,
        "kills": found.kills,
        "histories": found.banks,
        "not_linearizable": len(found.violations),
    }


def write_to_broker(folder: Path, name: str) -> None:
    """Writes to the broker as one of two processes."""

    async def writing() -> None:
        client = SocketClient(folder, 60)
        for number in range(EACH):
            await client.run("shared", [Operation("put", {"memory_id": f"{name}{number}", "content": "written"})])

    asyncio.run(writing())


def by_broker(folder: Path) -> int:
    """Returns how many writes of two processes the broker keeps when it is killed after the last one."""
    shard = ServedShard(folder)
    shard.answering()
    asyncio.run(SocketClient(folder, 60).open("shared"))
    with processes.Pool(2) as pool:
        pool.starmap(write_to_broker, [(folder, name) for name in "ab"])
    shard.kill()
    shard.answering()
    count = asyncio.run(SocketClient(folder, 60).stats("shared"))["count"]
    shard.kill()
    return count


async def by_reference(server: Path, file: Path) -> int:
    """Returns how many writes of two processes the reference server keeps."""
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

        for number in range(EACH):
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


def version_of(server: Path) -> str:
    package = json.loads((server / "node_modules" / PACKAGE / "package.json").read_text())
    return str(package["version"])


def main() -> None:
    parser = common.arguments("durability", __doc__)
    parser.add_argument("--server", type=Path, help="a folder where npm has installed the reference server")
    parser.add_argument("--operations", type=int, default=100_000, help="how many operations to send to the broker")
    options = parser.parse_args()
    rounds = 1 if options.quick else 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = installed(options.server, folder / "npm")
        brokers = [folder / f"broker-{place}" for place in range(rounds + 1)]
        for broker in brokers:
            broker.mkdir()
        of_reference = [asyncio.run(by_reference(server, folder / f"memory-{place}.jsonl")) for place in range(rounds)]
        figures = {
            "quick": options.quick,
            "two_processes": {
                "written": 2 * EACH,
                "kept_by_broker": [by_broker(broker) for broker in brokers[1:]],
                "kept_by_reference": of_reference,
                "reference": f"{PACKAGE} {version_of(server)}",
            },
            "broker": killed(brokers[0], 4_000 if options.quick else options.operations),
        }
    common.write(options.out, figures)


if __name__ == "__main__":
    main()
