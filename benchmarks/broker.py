"""How fast is the broker? Forks, searches, operations over Ray, the journal's price, many trajectories at once.

    python benchmarks/broker.py [--quick] [--out FILE]

Times are in microseconds, medians over rounds. A ratio compares two things that were measured in turns in this run.
``*_us`` without Ray are measured where the actor would do the work; everything over Ray goes from this process, or from
client processes, to the broker's actors.
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
    """A unit vector per text, the same one each time."""

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
    """Median microseconds of one call of each, measured in turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            for _ in range(each):
                call()
            found[name].append((time.perf_counter() - started) / each)
    return {name: statistics.median(times) * 1e6 for name, times in found.items()}


def registry_of(count: int) -> BankRegistry:
    """A registry whose namespace ``parent`` is open on so many memories."""
    embedder = RandomEmbedder()
    conversations = Conversations(None, embedder)
    rows_ND = np.random.default_rng(SEED).standard_normal((count, DIM), dtype=np.float32)
    conversations.add("bench", memories(count), rows_ND / np.linalg.norm(rows_ND, axis=1, keepdims=True))
    registry = BankRegistry(conversations)
    registry.open("parent", "bench")
    registry.at("parent").bank.apply(Operation("create", {"content": "the parent has an edit"}))
    return registry


def forks(quick: bool) -> dict[str, float]:
    """A fork with its namespace, of a small bank and of a large one."""
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
    """Resident memory of this process per fork that is open and idle."""
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
    """Top 5 of 300 vectors of length 384, here and in LangGraph's store with the same vectors; the query's is given."""
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
    # Ten in a row right after the other's are slow ones: caches are cold. The broker's own pace is measured alone.
    figures |= alternate(rounds, 200, search_us=lambda: bank.search("query", 5, vector_D=query_D))
    return {**figures, "search_over_langgraph": figures["search_langgraph_us"] / figures["search_us"]}


@ray.remote(num_cpus=0, max_concurrency=THREADS)
class Empty:
    """An actor that is declared like the broker's."""

    def call(self) -> None:
        """Nothing: the price of a call."""

    def echo(self, data: bytes) -> bytes:
        """The same bytes: the price of a call that carries data."""
        return data


@ray.remote(num_cpus=0, max_concurrency=1000)
class AsyncEmpty:
    async def call(self) -> None:
        """Nothing, in an actor with an event loop."""


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
    """One operation at a time from this process, against an empty call of an actor like the broker's.

    Between the two: what Ray takes for a call that carries the same bytes, and then for one that the shard answers.
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
            "encoded_operation_us": lambda: functools.partial(shard.run_encoded.remote, turn()),
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
    """Operations per second of so many trajectories at once, one operation per call."""

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
    """Sustained throughput with the journal against without, over Ray and in the service alone; in turns."""
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
    """Milliseconds of every operation of some trajectories, all at once."""
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
    """64 trajectories of 30 operations, from two client processes, for 1, 2 and 4 shards."""
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
