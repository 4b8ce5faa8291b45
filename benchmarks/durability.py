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
import sys
import tempfile
from pathlib import Path
from typing import Any

import common

from memupdate.memory import Operation

sys.path.insert(0, str(common.ROOT / "tests"))
from killed_broker import PROCESSES, TURN, use_served  # of the tests
from served_shard import ServedShard, SocketClient, processes

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


def main() -> None:
    parser = common.arguments("durability", __doc__)
    parser.add_argument("--server", type=Path, help="a folder where npm has installed the reference server")
    parser.add_argument("--operations", type=int, default=100_000, help="how many operations to send to the broker")
    options = parser.parse_args()
    import reference_memory  # here, because each process that uses the broker imports this file

    rounds = 1 if options.quick else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = reference_memory.installed(options.server, folder / "npm")
        brokers = [folder / f"broker-{place}" for place in range(rounds + 1)]
        for broker in brokers:
            broker.mkdir()
        of_reference = [
            asyncio.run(reference_memory.kept(server, folder / f"memory-{place}.jsonl", EACH))
            for place in range(rounds)
        ]
        figures = {
            "quick": options.quick,
            "two_processes": {
                "written": 2 * EACH,
                "kept_by_broker": [by_broker(broker) for broker in brokers[1:]],
                "kept_by_reference": of_reference,
                "reference": reference_memory.version(server),
            },
            "broker": killed(brokers[0], 4_000 if options.quick else options.operations),
        }
    common.write(options.out, figures)


if __name__ == "__main__":
    main()
