"""The broker on a real Ray, with shards, journal and retries: several processes, one set of banks.

Rows U19, U20, U21, U22, U23.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from in_process_broker import write_conversation
from langgraph.store.base import PutOp

from memupdate.broker import (
    BrokerDeadlineError,
    BrokerNotFoundError,
    MemoryStoreManager,
    Outcome,
    RefusedError,
    UnknownNamespaceError,
    start_broker,
)
from memupdate.broker.routing import shard_of
from memupdate.errors import FieldError
from memupdate.integrations import MemoryBankStore
from memupdate.memory import Operation

# A worker of Ray cannot import a test module: what is sent there travels as code.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.usefixtures("ray_session")

CONTENTS = [f"Ana planted tree number {n}" for n in range(9)]


@pytest.fixture(scope="module")
def memories_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memories")
    write_conversation(folder, "conv-a", CONTENTS)
    write_conversation(folder, "conv-b", ["Ben plays the cello"])
    return folder


@pytest.fixture(scope="module")
def broker(ray_session: None, memories_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a running broker, with shards and a journal."""
    running = start_broker(
        {
            "memories_dir": str(memories_dir),
            "embedder": "hashing",
            "broker_name": "shared",
            "broker_shards": 3,
            "journal_dir": str(tmp_path_factory.mktemp("journal")),
        }
    )
    yield "shared"
    running.kill()


def ask(name: str, question: Callable[[MemoryStoreManager], Any]) -> Any:
    """Connects by name and asks, as any process would."""

    async def asking() -> Any:
        return await question(await MemoryStoreManager.connect(name, deadline_s=30))

    return asyncio.run(asking())


def in_another_process(name: str, question: Callable[[MemoryStoreManager], Any]) -> Any:
    def work() -> tuple[int, Any]:
        return os.getpid(), ask(name, question)

    pid, answer = ray.get(ray.remote(num_cpus=1)(work).remote())
    assert pid != os.getpid()
    return answer


def test_u20_what_one_process_writes_another_reads(broker: str) -> None:
    async def write(client: MemoryStoreManager) -> list[Outcome]:
        await client.open("u20", "conv-b")
        return await client.run("u20", [Operation("create", {"content": "Ben has a dog"})])

    async def read(client: MemoryStoreManager) -> list[str]:
        return [str(memory["content"]) for memory in await client.list_memories("u20")]

    (outcome,) = in_another_process(broker, write)
    assert isinstance(outcome.value, dict)
    assert outcome.value["id"] == "m2"
    assert in_another_process(broker, read) == ["Ben plays the cello", "Ben has a dog"]
    assert ask(broker, read) == ["Ben plays the cello", "Ben has a dog"]
    ask(broker, lambda client: client.close("u20"))


def test_u19_two_processes_edit_two_banks_of_one_conversation_a_thousand_times(broker: str) -> None:
    def trajectory(namespace: str, seed: int) -> dict[str, str]:
        """500 operations, one call each; returns what the bank must hold."""

        async def editing(client: MemoryStoreManager) -> dict[str, str]:
            rng = random.Random(seed)
            model = {f"m{n}": content for n, content in enumerate(CONTENTS, start=1)}
            created = len(model)
            await client.open(namespace, "conv-a")
            for number in range(500):
                text = f"{namespace} writes {number}"
                kind = rng.choice(["create", "update", "delete"]) if len(model) > 1 else "create"
                if kind == "create":
                    created += 1
                    model[f"m{created}"] = text
                    operation = Operation("create", {"content": text})
                else:
                    memory_id = rng.choice(sorted(model))
                    if kind == "delete":
                        del model[memory_id]
                        operation = Operation("delete", {"memory_id": memory_id})
                    else:
                        model[memory_id] = text
                        operation = Operation("update", {"memory_id": memory_id, "content": text})
                (outcome,) = await client.run(namespace, [operation])
                assert outcome.error == ""
            return model

        answer: dict[str, str] = ask(broker, editing)
        return answer

    work = ray.remote(num_cpus=1)(trajectory)
    expected = dict(zip(("left", "right"), ray.get([work.remote("left", 1), work.remote("right", 2)]), strict=True))

    async def contents(client: MemoryStoreManager) -> None:
        for namespace, model in expected.items():
            memories = await client.list_memories(namespace)
            assert {memory["id"]: memory["content"] for memory in memories} == model
            assert [memory["content"] for memory in await client.initial_snapshot(namespace)] == CONTENTS
            await client.close(namespace)

    ask(broker, contents)
    assert expected["left"] != expected["right"]


def test_u23_close_from_another_process_frees_one_namespace(broker: str) -> None:
    async def opening(client: MemoryStoreManager) -> None:
        for namespace in ("keep", "drop"):
            await client.open(namespace, "conv-a")

    ask(broker, opening)
    in_another_process(broker, lambda client: client.close("drop"))
    assert ask(broker, lambda client: client.namespaces()) == ["keep"]
    ask(broker, lambda client: client.close("keep"))


def test_u21_errors_cross_processes_as_themselves(broker: str) -> None:
    async def wrong(client: MemoryStoreManager) -> list[Exception]:
        errors: list[Exception] = []
        for call in (client.stats("tpyo"), client.open("new", "conv-z")):
            try:
                await call
            except (UnknownNamespaceError, FieldError) as error:
                errors.append(error)
        return errors

    unknown, field = in_another_process(broker, wrong)
    assert type(unknown) is UnknownNamespaceError
    assert str(unknown) == "namespace: 'tpyo' is not open; allowed: one that was opened and not closed yet"
    assert type(field) is FieldError
    assert (field.field, field.value) == ("sample_id", "conv-z")


def test_a_broker_that_is_not_there_is_waited_for_until_the_deadline() -> None:
    async def scenario() -> tuple[float, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.01)

        working = asyncio.create_task(others())
        started = time.monotonic()
        with pytest.raises(BrokerNotFoundError, match=r"'nobody' answered within 0\.5 s"):
            await MemoryStoreManager.connect("nobody", deadline_s=0.5)
        working.cancel()
        return time.monotonic() - started, turns

    waited, turns = asyncio.run(scenario())
    assert 0.3 < waited < 5
    assert turns > 5  # the event loop went on meanwhile


def test_a_client_may_come_before_its_broker(memories_dir: Path) -> None:
    config = {"memories_dir": str(memories_dir), "embedder": "hashing", "broker_name": "late"}

    async def scenario() -> None:
        connecting = asyncio.create_task(MemoryStoreManager.connect("late", deadline_s=60))
        await asyncio.sleep(0)
        running = await asyncio.to_thread(start_broker, config)
        client = await connecting
        assert await client.ping() == {"namespaces": 0, "embedded": 0}
        with pytest.raises(ValueError, match="late"):
            await asyncio.to_thread(start_broker, config)
        running.kill()
        impatient = MemoryStoreManager([*running.shards], "late", 1.0)
        with pytest.raises(BrokerDeadlineError, match=r"'late' did not answer ping of .* within 1 s \(.*died"):
            async with asyncio.timeout(30):
                while True:  # the kill takes a moment to arrive
                    await impatient.ping()

    asyncio.run(scenario())


def test_a_broker_that_cannot_start_says_why(memories_dir: Path) -> None:
    config = {"memories_dir": str(memories_dir), "embedder": "word2vec", "broker_name": "broken"}
    with pytest.raises(ray.exceptions.RayActorError, match="embedder: got 'word2vec'"):
        start_broker(config)


def test_u20_a_reward_worker_scores_what_another_process_wrote(broker: str) -> None:
    class RewardWorker:
        """As verl's: an async actor that holds a reward manager."""

        def __init__(self) -> None:
            from omegaconf import OmegaConf

            from memupdate.rewards import MemoryRewardManager

            memory = {"broker_name": broker, "reward": {"scorer": "overlap", "formula": "monotone"}}
            self.manager = MemoryRewardManager(config=OmegaConf.create({"memory": memory}), tokenizer=None)

        async def compute_score(self, extra_info: dict[str, Any], reported: dict[str, Any]) -> dict[str, Any]:
            import numpy as np
            import torch
            from tensordict import TensorDict
            from verl import DataProto

            rows = {"extra_info": np.array([extra_info]), "tool_extra_fields": np.array([reported], dtype=object)}
            batch = TensorDict({"responses": torch.zeros(1, 1)}, batch_size=1)
            return await self.manager.run_single(DataProto(batch=batch, non_tensor_batch=rows))

    async def write(client: MemoryStoreManager) -> None:
        for namespace, fact in (("helped", "Ben is from Bergen"), ("idle", "Ben likes rain")):
            await client.open(namespace, "conv-b")
            await client.run(namespace, [Operation("create", {"content": fact})])

    in_another_process(broker, write)
    worker = ray.remote(num_cpus=1)(RewardWorker).remote()
    question = {"question": "Where is Ben from?", "answer": "Bergen", "category": 4}
    pending = [worker.compute_score.remote(question, {"namespace": name}) for name in ("helped", "idle", "unknown")]
    helped, idle, unknown = ray.get(pending)
    assert helped["reward_score"] > idle["reward_score"] == 0.0
    assert (unknown["reward_score"], unknown["reward_extra_info"]["reward_error"]) == (-0.1, 1.0)
    assert ask(broker, lambda client: client.namespaces()) == []
    ray.kill(worker)


def test_turns_on_one_shard_take_effect_together_and_on_several_shards_are_refused(broker: str) -> None:
    names = [f"together-{number}" for number in range(9)]
    of_shard = [[name for name in names if shard_of(name, 3) == shard] for shard in range(2)]
    (first, second), apart = of_shard[0][:2], of_shard[1][0]

    async def together(client: MemoryStoreManager) -> list[int]:
        for name in (first, second, apart):
            await client.open(name)
        new = [Operation("create", {"content": "x"})]
        await client.run_together({first: new, second: new})
        with pytest.raises(FieldError, match=r"namespaces: .*on one shard; these are on 2 of 3"):
            await client.run_together({first: new, apart: new})
        with pytest.raises(RefusedError, match="update on bank"):
            await client.run_together({first: new, second: [Operation("update", {"memory_id": "m9", "content": "x"})]})
        counts = [(await client.stats(name))["count"] for name in (first, second, apart)]
        for name in (first, second, apart):
            await client.close(name)
        return counts

    assert in_another_process(broker, together) == [1, 1, 0]


def test_a_store_batch_over_namespaces_of_two_shards_is_refused_and_writes_nothing(broker: str) -> None:
    store = MemoryBankStore(ask(broker, connected))
    labels = {shard_of(label, 3): label for label in (f"user-{number}" for number in range(20))}
    puts = [PutOp((labels[shard],), "k", {"title": "a title"}, ["title"]) for shard in (0, 1)]
    with pytest.raises(FieldError, match="on one shard"):
        store.batch(puts)
    assert [store.get((labels[shard],), "k") for shard in (0, 1)] == [None, None]
    for put in puts:
        store.batch([put])
    assert [store.search((labels[shard],), query="title")[0].key for shard in (0, 1)] == ["k", "k"]
    for name in ask(broker, lambda client: client.namespaces()):
        ask(broker, lambda client, name=name: client.close(name))


async def connected(client: MemoryStoreManager) -> MemoryStoreManager:
    return client
