"""The broker's async service and client, without Ray: its event loop never waits for a bank."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from in_process_broker import InProcessHandle, in_process_client

from memupdate.broker import MemoryBroker, MemoryStoreManager, UnknownNamespaceError, actor
from memupdate.errors import FieldError
from memupdate.memory import HashingEmbedder, Operation


class GatedEmbedder(HashingEmbedder):
    """Embeds when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def embed(self, texts: object) -> np.ndarray:
        assert self.gate.wait(timeout=10)
        return super().embed(texts)  # type: ignore[arg-type]


def test_a_slow_embedder_keeps_no_ping_waiting(memories_dir: Path) -> None:
    slow = GatedEmbedder()

    async def scenario() -> None:
        client = MemoryStoreManager([InProcessHandle(MemoryBroker(str(memories_dir), slow))])
        opening = asyncio.create_task(client.open("t1", "conv-a"))
        for _ in range(20):
            assert (await client.ping())["namespaces"] == 0
        assert not opening.done()
        slow.gate.set()
        assert (await opening)["created"]
        assert await client.ping() == {"namespaces": 1, "embedded": 9}

    asyncio.run(scenario())


def test_calls_of_many_trajectories_at_once_keep_their_order(memories_dir: Path) -> None:
    async def trajectory(client: MemoryStoreManager, namespace: str) -> list[str]:
        await client.open(namespace, "conv-b")
        for number in range(20):
            await client.run(namespace, [Operation("create", {"content": f"{namespace} writes {number}"})])
        return [str(memory["content"]) for memory in await client.list_memories(namespace)][2:]

    async def scenario() -> None:
        client = in_process_client(memories_dir)
        names = [f"t{number}" for number in range(10)]
        for name, written in zip(
            names, await asyncio.gather(*(trajectory(client, name) for name in names)), strict=True
        ):
            assert written == [f"{name} writes {number}" for number in range(20)]
        assert sorted(await client.namespaces()) == names
        for name in names:
            await client.close(name)
        assert await client.namespaces() == []

    asyncio.run(scenario())


def test_errors_arrive_as_themselves(memories_dir: Path) -> None:
    async def scenario() -> None:
        client = in_process_client(memories_dir)
        with pytest.raises(UnknownNamespaceError):
            await client.stats("nobody")
        with pytest.raises(FieldError, match="sample_id"):
            await client.open("t1", "conv-z")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"memories_dir": None}, "memory.memories_dir"),
        ({"memories_dir": "/nowhere/at/all"}, "memory.memories_dir"),
        ({"embedder": ""}, "memory.embedder"),
        ({"broker_name": 3}, "memory.broker_name"),
    ],
)
def test_start_broker_names_the_field_that_is_wrong(memories_dir: Path, changes: dict[str, object], field: str) -> None:
    config = {"memories_dir": str(memories_dir), "embedder": "hashing", "broker_name": "b", **changes}
    with pytest.raises(FieldError) as caught:
        actor.start_broker(config)
    assert caught.value.field == field
