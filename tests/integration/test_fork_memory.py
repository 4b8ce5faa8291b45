"""Ten thousand forks: what an idle one costs, that an edited one pays for its edits only, and that nothing stays."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process_broker import write_conversation

from memupdate.broker import BankRegistry, Conversations, MemoryBroker
from memupdate.memory import HashingEmbedder, Operation

FORKS = 10_000


@pytest.fixture
def registry(tmp_path: Path) -> BankRegistry:
    """Two parents of different size, each with edits of its own."""
    for sample_id, count in (("small", 30), ("large", 3000)):
        write_conversation(tmp_path, sample_id, [f"fact {n}" for n in range(count)])
    made = BankRegistry(Conversations(tmp_path, HashingEmbedder()))
    for sample_id in ("small", "large"):
        made.open(sample_id, sample_id)
        for n in range(20):
            made.at(sample_id).bank.apply(Operation("create", {"content": f"edit {n}"}))
    return made


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("parent", ["small", "large"])
def test_an_idle_fork_costs_less_than_a_kibibyte_and_a_closed_one_nothing(registry: BankRegistry, parent: str) -> None:
    registry.fork("first", parent)
    closed = []
    for _ in range(2):
        before = held()
        for number in range(FORKS):
            registry.fork(f"fork-{number}", parent if number % 2 else "first")  # forks of forks too
        assert (held() - before) / FORKS < 1024
        for number in range(FORKS):
            registry.close(f"fork-{number}")
        closed.append(held())
    assert closed[1] - closed[0] < FORKS  # not a byte for each; after the first round the dict has grown


@pytest.mark.usefixtures("traced")
def test_an_edited_fork_pays_for_its_delta_and_not_for_its_base(registry: BankRegistry) -> None:
    cost = {}
    for parent in ("small", "large"):
        before = held()
        for number in range(200):
            registry.fork(f"{parent}-{number}", parent)
            registry.at(f"{parent}-{number}").bank.apply(Operation("delete", {"memory_id": "m1"}))
        cost[parent] = (held() - before) / 200
    assert cost["large"] < 1.2 * cost["small"]
    # Twenty-one edits: rows of 256 float32, room for as many again, and some small objects each.
    assert cost["large"] < 21 * (2 * 1024 + 2048)


def test_a_journal_of_forks_that_are_closed_stays_small(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(None, journal_dir=str(tmp_path), compact_at=50_000)
        await broker.open("parent")
        await broker.run("parent", [Operation("create", {"content": "the one fact"})])
        for part in range(4):
            names = [f"fork-{part}-{number}" for number in range(500)]
            await asyncio.gather(*(broker.fork(name, "parent") for name in names))
            await asyncio.gather(*(broker.close(name) for name in names))
        digest = (await broker.final_state("parent"))["digest"]
        await broker.stop()
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 150_000
        again = MemoryBroker(None, journal_dir=str(tmp_path))
        assert (await again.namespaces(), (await again.final_state("parent"))["digest"]) == (["parent"], digest)
        await again.stop()

    asyncio.run(scenario())
