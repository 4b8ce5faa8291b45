"""Measures the broker: forks, searches, operations over Ray, the cost of the journal, concurrent trajectories.

    python benchmarks/broker.py [--quick] [--out FILE]

Fields ``*_us`` are microseconds, medians over rounds. A ratio compares two measurements that alternated in this run.
Forks and searches are measured in this process without Ray. Calls over Ray go from this process, or from client
processes, to the broker's actors.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib.metadata
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
import psutil
import ray
from langgraph.store.memory import InMemoryStore

from memupdate.broker import BankRegistry, Conversations, MemoryBroker, MemoryStoreManager, start_broker
from memupdate.broker.actor import THREADS
from memupdate.broker.wire import encode_turn
from memupdate.memory import Memory, MemoryBank, Operation

SEED = 0
DIM = 384
MEMORIES = 300
WORDS = ("garden", "tree", "Oslo", "cello", "rain", "bread", "spider", "music", "dog", "violin", "lake", "race")


class RandomEmbedder:
    """An embedder that gives each text a fixed random unit vector."""

    name = "random"
    dim = DIM

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.random.default_rng([SEED, *text.encode()]).standard_normal(DIM) for text in texts]
        rows_ND = np.asarray(rows, dtype=np.float32).reshape(len(texts), DIM)
        return rows_ND / np.maximum(np.linalg.norm(rows_ND, axis=1, keepdims=True), 1e-9)


def memories(count: int) -> list[Memory]:
    rng = np.random.default_rng(SEED)
    return [Memory(f"m{n}", f"{' '.join(rng.choice(WORDS, 8))} {n}") for n in range(1, count + 1)]


def alternate(rounds: int, each: int, **calls: Callable[[], Any]) -> dict[str, float]:
    """Returns the median microseconds per call of each function, measured in alternation.

    Args:
        rounds: the number of rounds.
        each: the number of calls of a function per round.
        calls: the functions by name.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            for _ in range(each):
                call()
            found[name].append((time.perf_counter() - started) / each)
    return {name: statistics.median(times) * 1e6 for name, times in found.items()}


def registry_of(count: int) -> BankRegistry:
    """Returns a registry with an open namespace ``parent`` of ``count`` memories and one edit."""
    embedder = RandomEmbedder()
    conversations = Conversations(None, embedder)
    rows_ND = np.random.default_rng(SEED).standard_normal((count, DIM), dtype=np.float32)
    conversations.add("bench", memories(count), rows_ND / np.linalg.norm(rows_ND, axis=1, keepdims=True))
    registry = BankRegistry(conversations)
    registry.open("parent", "bench")
    registry.at("parent").bank.apply(Operation("create", {"content": "the parent has an edit"}))
    return registry


def forks(quick: bool) -> dict[str, float]:
    """Measures the time to fork a small bank and a large one, with a new namespace each time."""
    large = 2_000 if quick else 100_000
    registries = {"fork_us": registry_of(MEMORIES), "fork_us_100k": registry_of(large)}
    number = iter(range(10**9))
    return alternate(
        5 if quick else 51,
        200,
        **{
            name: lambda registry=registry: registry.fork(f"child-{next(number)}", "parent")
            for name, registry in registries.items()
        },
    )


def fork_bytes(quick: bool) -> dict[str, float]:
    """Measures the resident memory of this process per open, idle fork."""
    count = 2_000 if quick else 100_000
    registry = registry_of(MEMORIES)
    registry.fork("warm", "parent")
    gc.collect()
    before = psutil.Process().memory_info().rss
    for number in range(count):
        registry.fork(f"conv-26-qa159-4f01449a-s{number}r0", "parent")
    gc.collect()
    return {"fork_bytes": (psutil.Process().memory_info().rss - before) / count, "fork_bytes_forks": count}


def searches(quick: bool) -> dict[str, float]:
    """Measures the top-5 search in 300 vectors of length 384, in a bank and in LangGraph's store.

    Both have the same vectors, and the query's vector is given.
    """
    held = memories(MEMORIES)
    embedder = RandomEmbedder()
    bank = MemoryBank.from_memories(held, embedder)
    query_D = embedder.embed(["query"])[0]
    rows_ND = embedder.embed([memory.text for memory in held])
    as_lists = {memory.content: row_D.tolist() for memory, row_D in zip(held, rows_ND, strict=True)}
    as_lists["query"] = query_D.tolist()
    store = InMemoryStore(
        index={"dims": DIM, "embed": lambda texts: [as_lists[text] for text in texts], "fields": ["content"]}
    )
    for memory in held:
        store.put(("bank",), memory.id, {"content": memory.content})
    ours = [hit.id for hit in bank.search("query", 5, vector_D=query_D)]
    assert ours == [item.key for item in store.search(("bank",), query="query", limit=5)], "both find the same"
    rounds = 5 if quick else 51
    figures = alternate(
        rounds,
        10,
        search_us=lambda: bank.search("query", 5, vector_D=query_D),
        search_langgraph_us=lambda: store.search(("bank",), query="query", limit=5),
    )
    # Right after the other store's searches the caches are cold, which slows ten calls down. So the bank is also
    # measured alone, and this figure replaces the first one.
    figures |= alternate(rounds, 200, search_us=lambda: bank.search("query", 5, vector_D=query_D))
    return {**figures, "search_over_langgraph": figures["search_langgraph_us"] / figures["search_us"]}


@ray.remote(num_cpus=0, max_concurrency=THREADS)
class Empty:
    """An empty actor with the options of the broker's actors."""

    def call(self) -> None:
        """Does nothing. Measures the cost of a call."""

    def echo(self, data: bytes) -> bytes:
        """Returns its argument. Measures the cost of a call with data."""
        return data


@ray.remote(num_cpus=0, max_concurrency=1000)
class AsyncEmpty:
    async def call(self) -> None:
        """Does nothing, in an actor with an event loop."""


def config(memories_dir: str, name: str, shards: int = 1, journal_dir: str | None = None) -> dict[str, Any]:
    return {
        "memories_dir": memories_dir,
        "embedder": "hashing",
        "broker_name": name,
        "broker_shards": shards,
        "journal_dir": journal_dir,
    }


def update(number: int) -> Operation:
    return Operation("update", {"memory_id": f"m{number % MEMORIES + 1}", "content": f"Ana planted tree {number}"})


def search(number: int) -> Operation:
    return Operation("search", {"query": f"who planted tree {number}"})


async def timed(call: Callable[[], Awaitable[Any]], times: list[float]) -> None:
    started = time.perf_counter()
    await call()
    times.append((time.perf_counter() - started) * 1e6)


def operations(memories_dir: str, quick: bool) -> dict[str, Any]:
    """Measures single operations from this process, compared with an empty call of a similar actor.

    It also measures two steps in between: a call that echoes the same bytes, and a call of the shard with an encoded
    operation, without the client.
    """
    running = start_broker(config(memories_dir, "plain"))
    empty, async_empty = Empty.remote(), AsyncEmpty.remote()
    shard = running.shards[0]
    times: dict[str, list[float]] = {}

    async def measuring() -> None:
        client = await MemoryStoreManager.connect("plain")
        await client.open("t", "bench")
        number = iter(range(10**9))

        def turn() -> bytes:
            return encode_turn("t", [update(next(number))])

        calls: dict[str, Callable[[], Callable[[], Awaitable[Any]]]] = {
            "empty_call_us": lambda: empty.call.remote,
            "empty_call_async_actor_us": lambda: async_empty.call.remote,
            "echo_call_us": lambda: functools.partial(empty.echo.remote, turn()),
            "encoded_operation_us": lambda: functools.partial(shard.run_encoded.remote, 1, turn()),
            "operation_us": lambda: lambda: client.run("t", [update(next(number))]),
            "search_operation_us": lambda: lambda: client.run("t", [search(next(number))]),
        }
        for _ in range(4 if quick else 120):
            for name, call in calls.items():
                for _ in range(25):
                    await timed(call(), times.setdefault(name, []))

    asyncio.run(measuring())
    running.kill()
    for actor in (empty, async_empty):
        ray.kill(actor)
    medians = {name: statistics.median(found[len(found) // 10 :]) for name, found in times.items()}
    return {
        **medians,
        "operation_over_empty_call": medians["operation_us"] / medians["empty_call_us"],
        "operation_over_empty_call_async_actor": medians["operation_us"] / medians["empty_call_async_actor_us"],
        "search_operation_over_empty_call": medians["search_operation_us"] / medians["empty_call_us"],
    }


async def throughput(banks: Any, trajectories: int, each: int, prefix: str) -> float:
    """Returns the operations per second of concurrent trajectories with one operation per call.

    Args:
        banks: the broker or its client.
        trajectories: the number of concurrent trajectories.
        each: the number of operations per trajectory.
        prefix: the prefix of the namespaces.
    """

    async def trajectory(namespace: str) -> None:
        for number in range(each):
            await banks.run(namespace, [update(number)])

    names = [f"{prefix}-{number}" for number in range(trajectories)]
    await asyncio.gather(*(banks.open(name, "bench") for name in names))
    started = time.perf_counter()
    await asyncio.gather(*(trajectory(name) for name in names))
    took = time.perf_counter() - started
    await asyncio.gather(*(banks.close(name) for name in names))
    return trajectories * each / took


def journal(memories_dir: str, quick: bool) -> dict[str, float]:
    """Measures the throughput with and without the journal in alternation, over Ray and in process."""
    rounds, each = (1, 5) if quick else (7, 60)

    async def in_turns(off: Any, on: Any, ray_or_not: str) -> dict[str, float]:
        found: dict[str, list[float]] = {"off": [], "on": []}
        for number in range(rounds):
            for name, banks in (("off", off), ("on", on)):
                found[name].append(await throughput(banks, 64, each, f"{name}{number}"))
        on_off = {name: statistics.median(speeds) for name, speeds in found.items()}
        return {
            f"{ray_or_not}_off": on_off["off"],
            f"{ray_or_not}_on": on_off["on"],
            f"journal_throughput_ratio{'' if ray_or_not == 'ray' else '_inside'}": on_off["on"] / on_off["off"],
        }

    async def over_ray() -> dict[str, float]:
        clients = [await MemoryStoreManager.connect(name) for name in ("off", "on")]
        return await in_turns(*clients, "ray")

    async def inside() -> dict[str, float]:
        brokers = [MemoryBroker(memories_dir), MemoryBroker(memories_dir, journal_dir=f"{folder}/inside")]
        found = await in_turns(*brokers, "inside")
        for broker in brokers:
            await broker.stop()
        return found

    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(inside())
        running = [start_broker(config(memories_dir, "off")), start_broker(config(memories_dir, "on", 1, folder))]
        figures |= asyncio.run(over_ray())
        for broker in running:
            broker.kill()
    ratios = {name: value for name, value in figures.items() if name.startswith("journal_")}
    speeds = {name: value for name, value in figures.items() if name not in ratios}
    return {**ratios, "journal_operations_per_s": speeds}  # type: ignore[dict-item]


@ray.remote(num_cpus=0)
def client_process(name: str, trajectories: int, each: int, prefix: str) -> list[float]:
    """Runs concurrent trajectories and returns the milliseconds of every operation."""
    times: list[float] = []

    async def trajectory(client: MemoryStoreManager, namespace: str) -> None:
        for number in range(each):
            await timed(lambda: client.run(namespace, [update(number)]), times)  # noqa: B023 (awaited at once)

    async def all_of_them() -> None:
        client = await MemoryStoreManager.connect(name)
        names = [f"{prefix}-{number}" for number in range(trajectories)]
        await asyncio.gather(*(client.open(namespace, "bench") for namespace in names))
        await asyncio.gather(*(trajectory(client, namespace) for namespace in names))
        await asyncio.gather(*(client.close(namespace) for namespace in names))

    asyncio.run(all_of_them())
    return [took / 1e3 for took in times]


def concurrent(memories_dir: str, quick: bool) -> dict[str, Any]:
    """Measures 64 concurrent trajectories of 30 operations from two client processes, for 1, 2 and 4 shards."""
    clients, rounds = 2, 1 if quick else 5
    figures: dict[str, Any] = {}
    for shards in (1, 2, 4):
        running = start_broker(config(memories_dir, "many", shards))
        speeds, times = [], []
        for number in range(rounds + 1):
            started = time.perf_counter()
            parts = [
                client_process.remote("many", 64 // clients, 30, f"{number}-{client}") for client in range(clients)
            ]
            found = [took for part in ray.get(parts) for took in part]
            if number:  # the first round starts the client processes
                speeds.append(64 * 30 / (time.perf_counter() - started))
                times += found
        running.kill()
        p50, p99 = np.percentile(times, [50, 99])
        figures[f"shards_{shards}"] = {
            "operations_per_s": statistics.median(speeds),
            "p50_ms": float(p50),
            "p99_ms": float(p99),
        }
    return {"concurrent": {"trajectories": 64, "operations": 30, "client_processes": clients, **figures}}


def main() -> None:
    options = common.arguments("broker", __doc__).parse_args()
    figures: dict[str, Any] = {
        "seed": SEED,
        "quick": options.quick,
        "langgraph": importlib.metadata.version("langgraph"),
        "load_average": psutil.getloadavg(),
    }
    figures |= fork_bytes(options.quick) | forks(options.quick) | searches(options.quick)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=200_000_000)
    with tempfile.TemporaryDirectory() as folder:
        lines = "".join(f"{json.dumps(memory.to_json())}\n" for memory in memories(MEMORIES))
        (Path(folder) / "bench.jsonl").write_text(lines)
        for part in (operations, journal, concurrent):
            figures |= part(folder, options.quick)
    ray.shutdown()
    common.write(options.out, figures)


if __name__ == "__main__":
    main()
