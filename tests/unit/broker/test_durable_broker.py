"""The service with a journal, without Ray, through restarts, retries and disks that refuse.

Rows U19, U21, U22, U23, U24, U25.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process_broker import write_conversation

from memupdate.broker import JournalError, MemoryBroker, Outcome, UnknownNamespaceError
from memupdate.errors import DataError, FieldError
from memupdate.memory import HashingEmbedder, MemoryBank, Operation, read_memories

Scenario = Callable[[MemoryBroker], Awaitable[Any]]


def create(content: str, key: str = "") -> Operation:
    return Operation("create", {"content": content}, key)


def contents(memories: list[dict[str, Any]]) -> list[str]:
    return [memory["content"] for memory in memories]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the conversations of ``memories_dir`` are not."""
    return tmp_path / "journal"


@pytest.fixture
def lives(memories_dir: Path, folder: Path) -> Callable[..., list[Any]]:
    """Runs scenarios one after another, each in a broker of its own on the same journal."""

    async def in_turn(scenarios: tuple[Scenario, ...], settings: dict[str, Any]) -> list[Any]:
        answers = []
        for scenario in scenarios:
            broker = MemoryBroker(str(memories_dir), journal_dir=str(folder), **settings)
            answers.append(await scenario(broker))
            await broker.stop()
        return answers

    return lambda *scenarios, **settings: asyncio.run(in_turn(scenarios, settings))


async def killed(broker: MemoryBroker, memories_dir: Path, folder: Path, target: Path) -> MemoryBroker:
    """A broker on what is on disk at this moment, as after the death of the process."""
    shutil.copytree(folder, target)
    return MemoryBroker(str(memories_dir), journal_dir=str(target))


def test_u24_banks_survive_the_process_with_digest_counts_and_origin(lives: Callable[..., list[Any]]) -> None:
    async def first(broker: MemoryBroker) -> Any:
        for namespace, sample_id in (("t1", "conv-a"), ("t2", "conv-b"), ("own", "")):
            await broker.open(namespace, sample_id)
        await broker.run("t1", [Operation("delete", {"memory_id": "m1", "reason": "wrong"}), create("new")])
        await broker.run("t1", [Operation("merge", {"memory_ids": ["m2", "m3"], "strategy": "summarize"})])
        await broker.run("t1", [create("to split. It has parts."), Operation("search", {"query": "tree"})])
        await broker.run("t1", [Operation("split", {"memory_id": "m12", "split_criteria": "temporal"})])
        await broker.run("own", [create("first of an empty bank")])
        await broker.close("t2")
        return await told(broker)

    async def told(broker: MemoryBroker) -> Any:
        names = await broker.namespaces()
        return {name: (await broker.final_state(name), await broker.stats(name)) for name in names}, [
            contents(await broker.initial_snapshot(name)) for name in names
        ]

    before, after, again = lives(first, told, told)
    assert before == after == again
    assert list(before[0]) == ["t1", "own"]


def test_u24_an_acknowledged_operation_is_on_disk_and_unseen_before(
    memories_dir: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(str(memories_dir), journal_dir=str(folder))
        await broker.open("t1", "conv-b")
        await broker.run("t1", [create("acknowledged")])
        other = await killed(broker, memories_dir, folder, tmp_path / "now")
        assert contents(await other.list_memories("t1"))[2:] == ["acknowledged"]
        await other.stop()

        loop, disk = asyncio.get_running_loop(), asyncio.Event()
        real = os.fdatasync

        def slow(file: int) -> None:
            asyncio.run_coroutine_threadsafe(disk.wait(), loop).result(timeout=10)
            real(file)

        monkeypatch.setattr(os, "fdatasync", slow)
        writing = asyncio.create_task(broker.run("t1", [create("under way")]))
        reading = asyncio.create_task(broker.list_memories("t1"))
        for _ in range(20):
            assert (await broker.ping())["namespaces"] == 1  # the event loop goes on
        assert not writing.done()
        assert not reading.done()
        disk.set()
        await writing
        assert contents(await reading)[2:] == ["acknowledged", "under way"]
        await broker.stop()

    asyncio.run(scenario())


def test_u24_a_cancelled_caller_leaves_memory_and_disk_in_agreement(lives: Callable[..., list[Any]]) -> None:
    async def first(broker: MemoryBroker) -> Any:
        await broker.open("t1", "conv-b")
        writing = asyncio.create_task(broker.run("t1", [create("whose caller went away")]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        return await broker.final_state("t1")

    before, after = lives(first, lambda broker: broker.final_state("t1"))
    assert before == after


@pytest.mark.parametrize("call", ["run", "open", "fork", "close"])
def test_a_full_disk_fails_the_call_and_the_bank_stays_as_it_was(
    lives: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real = os.write

    def full(file: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    async def first(broker: MemoryBroker) -> Any:
        await broker.open("t1", "conv-a")
        await broker.run("t1", [create("before")])
        digest = (await broker.final_state("t1"))["digest"]
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(JournalError, match=r"No space left on device; the bank stays as it was"):
            match call:
                case "run":
                    await broker.run("t1", [create("lost"), Operation("delete", {"memory_id": "m1"})])
                case "open":
                    await broker.open("t2", "conv-a")
                case "fork":
                    await broker.fork("t2", "t1")
                case "close":
                    await broker.close("t1")
        assert await broker.namespaces() == ["t1"]
        assert (await broker.final_state("t1"))["digest"] == digest
        (found,) = await broker.run("t1", [Operation("search", {"query": "before", "top_k": 1})])
        assert found.value[0]["content"] == "before"  # reading goes on
        monkeypatch.setattr(os, "write", real)
        (created,) = await broker.run("t1", [create("after")])
        assert created.value["id"] == "m11"  # the refused one has left no gap
        return await broker.final_state("t1")

    before, after = lives(first, lambda broker: broker.final_state("t1"))
    assert before == after


def test_u24_a_repeated_call_has_one_effect_before_and_after_a_restart(lives: Callable[..., list[Any]]) -> None:
    async def send(broker: MemoryBroker) -> Any:
        opened = await broker.open("t1", "conv-b", key="o")
        outcomes = await broker.run("t1", [create("once", key="k1"), Operation("delete", {"memory_id": "m1"}, "k2")])
        forked = await broker.fork("t2", "t1", key="f")
        return opened["created"], outcomes, forked, (await broker.final_state("t1"))["digest"]

    async def twice(broker: MemoryBroker) -> Any:
        return await send(broker), await send(broker)

    (first, second), (third, fourth) = lives(twice, twice)
    assert first == second == third == fourth
    assert first[0] is True

    async def by_others(broker: MemoryBroker) -> Any:
        reopened, reforked = await broker.open("t1", "conv-b", key="x"), await broker.fork("t2", "t1", key="x")
        return reopened["created"], reforked["created"]

    assert lives(by_others) == [(False, False)]


def test_a_key_of_another_operation_is_an_error_after_a_restart_too(lives: Callable[..., list[Any]]) -> None:
    async def first(broker: MemoryBroker) -> Any:
        await broker.open("t1", "conv-b")
        await broker.run("t1", [create("one", key="k")])

    async def other(broker: MemoryBroker) -> list[Outcome]:
        return await broker.run("t1", [create("another", key="k")])

    _, (outcome,) = lives(first, other)
    assert outcome.error.startswith("key: got 'k'; allowed: a new key")


def test_u24_forks_survive_their_parents_and_every_compaction(lives: Callable[..., list[Any]], folder: Path) -> None:
    async def first(broker: MemoryBroker) -> Any:
        await broker.open("parent", "conv-a")
        await broker.run("parent", [create("before the fork")])
        await broker.fork("child", "parent")
        await broker.run("parent", [create("the child never sees this")])
        await broker.run("child", [create("of the child")])
        await broker.fork("grandchild", "child")
        await broker.close("parent")
        await broker.close("child")
        await broker.open("parent", "conv-b")  # another bank of the same name
        await broker.open("noise", "conv-a")
        for number in range(50):
            await broker.run("noise", [create(f"noise {number}")])
        await broker.close("noise")
        return await told(broker)

    async def told(broker: MemoryBroker) -> Any:
        return {name: await broker.final_state(name) for name in await broker.namespaces()}

    async def again(broker: MemoryBroker) -> Any:
        await broker.open("last", "conv-b")
        await broker.close("last")  # compacts once more
        return await told(broker)

    states = lives(first, told, again, told, compact_at=1)
    assert states[0] == states[1] == states[2] == states[3]
    assert contents(states[0]["grandchild"]["memories"])[9:] == ["before the fork", "of the child"]
    assert contents(states[0]["parent"]["memories"]) == ["Ben plays the cello", "Ben moved to Oslo in 2019"]
    (path,) = folder.glob("*.jsonl")
    text = path.read_text()
    assert "noise" not in text
    assert "the child never sees this" not in text


def test_a_changed_conversation_is_an_error_and_no_other_bank(lives: Callable[..., list[Any]], tmp_path: Path) -> None:
    async def first(broker: MemoryBroker) -> Any:
        await broker.open("t1", "conv-b")

    lives(first)
    write_conversation(tmp_path, "conv-b", ["Ben plays the viola"])
    with pytest.raises(DataError, match="conversation 'conv-b', on which namespace 't1' is open, has changed"):
        lives(first)


def test_without_a_journal_nothing_is_kept(memories_dir: Path) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(str(memories_dir))
        await broker.open("t1", "conv-b")
        await broker.stop()
        with pytest.raises(UnknownNamespaceError):
            await MemoryBroker(str(memories_dir)).stats("t1")

    asyncio.run(scenario())


def test_an_empty_bank_needs_no_conversations() -> None:
    async def scenario() -> None:
        broker = MemoryBroker(None)
        assert await broker.open("mine") == {"count": 0, "created": True}
        await broker.run("mine", [create("the first")])
        assert contents(await broker.list_memories("mine")) == ["the first"]
        with pytest.raises(FieldError, match="sample_id: got 'conv-a'; allowed: empty text"):
            await broker.open("other", "conv-a")

    asyncio.run(scenario())


@pytest.mark.parametrize("steps", range(0, 6, 5))
def test_u22_forks_anywhere_are_independent_and_share_the_initial_snapshot(
    lives: Callable[..., list[Any]], steps: int
) -> None:
    async def scenario(broker: MemoryBroker) -> None:
        await broker.open("root", "conv-a")
        line = ["root"]
        for step in range(steps):
            await broker.run(line[-1], [create(f"step {step}")])
            line.append(f"{line[-1]}/{step}")
            assert await broker.fork(line[-1], line[-2]) == {"count": 10 + step, "created": True}
        for namespace in line:
            await broker.run(namespace, [create(f"only in {namespace}")])
        for depth, namespace in enumerate(line):
            held = contents(await broker.list_memories(namespace))[9:]
            assert held == [*[f"step {step}" for step in range(min(depth + 1, steps))], f"only in {namespace}"]
            assert await broker.initial_snapshot(namespace) == await broker.initial_snapshot("root")

    lives(scenario)


def test_a_fork_of_nothing_or_onto_something_else_is_an_error(lives: Callable[..., list[Any]]) -> None:
    async def scenario(broker: MemoryBroker) -> None:
        await broker.open("t1", "conv-a")
        await broker.open("t2", "conv-a")
        with pytest.raises(UnknownNamespaceError):
            await broker.fork("new", "tpyo")
        with pytest.raises(FieldError, match=r"'t2'.*a fork of 't1' already"):
            await broker.fork("t2", "t1")
        assert await broker.namespaces() == ["t1", "t2"]

    lives(scenario)


def test_forks_of_each_other_at_once_do_not_wait_for_ever(lives: Callable[..., list[Any]]) -> None:
    async def scenario(broker: MemoryBroker) -> None:
        names = [f"t{number}" for number in range(4)]
        for name in names:
            await broker.open(name, "conv-b")
        pairs = list(itertools.permutations(names, 2))
        forks = [broker.fork(f"{left}>{right}", left) for left, right in pairs]
        crossing = [broker.fork(left, right) for left, right in pairs]
        answers = await asyncio.wait_for(asyncio.gather(*forks, *crossing, return_exceptions=True), timeout=20)
        assert all(answer == {"count": 2, "created": True} for answer in answers[: len(pairs)])
        assert all(isinstance(answer, FieldError) for answer in answers[len(pairs) :])

    lives(scenario)


def test_a_fork_on_another_shard_is_the_parent_to_the_digest(memories_dir: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        here, there = MemoryBroker(str(memories_dir)), MemoryBroker(str(memories_dir), journal_dir=str(tmp_path / "j"))
        await here.open("parent", "conv-a")
        await here.run("parent", [create("new", key="k"), Operation("delete", {"memory_id": "m2"})])
        recipe = await here.recipe("parent")
        assert await there.adopt("child", "parent", recipe, key="f") == {"count": 9, "created": True}
        assert await there.adopt("child", "parent", recipe, key="f") == {"count": 9, "created": True}
        state = await here.final_state("parent")
        for operation in state["journal"]:
            operation["key"] = ""  # a key belongs to the bank that it was sent to
        assert await there.final_state("child") == state
        with pytest.raises(DataError, match=r"'child2'.*has changed"):
            await there.adopt("child2", "parent", {**recipe, "initial": "0"})
        await there.stop()
        again = MemoryBroker(str(memories_dir), journal_dir=str(tmp_path / "j"))
        assert await again.final_state("child") == state
        assert await again.namespaces() == ["child"]
        await again.stop()

    asyncio.run(scenario())


class ModelLike(HashingEmbedder):
    """Not the hashing embedder itself, so the broker takes it for a model that is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.broken = False

    def embed(self, texts: Any) -> np.ndarray:
        if self.broken:
            raise ConnectionError("the model is gone")
        self.batches.append(list(texts))
        return super().embed(texts)


def test_u25_a_model_is_asked_once_per_text_and_in_batches_across_trajectories(memories_dir: Path) -> None:
    async def scenario() -> None:
        model = ModelLike()
        broker = MemoryBroker(str(memories_dir), model)
        names = [f"t{number}" for number in range(20)]
        await asyncio.gather(*(broker.open(name, "conv-a") for name in names))
        assert [len(batch) for batch in model.batches] == [9]
        model.batches.clear()
        same, own = create("the same new fact"), [create(f"of {name}") for name in names]
        await asyncio.gather(*(broker.run(name, [same, one]) for name, one in zip(names, own, strict=True)))
        assert model.batches == []  # a write waits for no model
        await asyncio.gather(*(broker.evaluate(name, "What is new?") for name in names))
        assert len(model.batches) < 10
        texts = [text for batch in model.batches for text in batch]
        assert sorted(texts) == sorted({"the same new fact", "What is new?", *(f"of {name}" for name in names)})
        assert (await broker.ping())["embedded"] == 9 + 21 + 1

    asyncio.run(scenario())


def test_u25_a_turn_of_reads_asks_the_model_once(memories_dir: Path) -> None:
    async def scenario() -> None:
        model = ModelLike()
        broker = MemoryBroker(str(memories_dir), model)
        await broker.open("t1", "conv-b")
        await broker.run("t1", [create("written before")])
        model.batches.clear()
        searches = [Operation("search", {"query": f"question {number}"}) for number in range(3)]
        turn = [create("written first"), *searches, Operation("sample", {"strategy": "diverse"})]
        outcomes = await broker.run("t1", turn)
        assert not any(outcome.error for outcome in outcomes)
        asked = {"written before", "written first", *(f"question {number}" for number in range(3))}
        assert sorted(text for batch in model.batches for text in batch) == sorted(asked)
        assert len(model.batches) == 2  # what stood before the turn, and what its first operation wrote

    asyncio.run(scenario())


def test_u25_a_replay_embeds_no_operation_before_it_is_asked_for(memories_dir: Path, folder: Path) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(str(memories_dir), ModelLike(), str(folder))
        await broker.open("t1", "conv-b")
        await broker.run("t1", [create("overwritten"), create("kept")])
        await broker.run("t1", [Operation("update", {"memory_id": "m3", "content": "written over it"})])
        digest = (await broker.final_state("t1"))["digest"]
        await broker.stop()

        model = ModelLike()
        again = MemoryBroker(str(memories_dir), model, str(folder))
        initial = {memory.text for memory in read_memories(memories_dir / "conv-b.jsonl")}
        assert {text for batch in model.batches for text in batch} == initial
        assert (await again.final_state("t1"))["digest"] == digest
        model.batches.clear()
        (found,) = await again.run("t1", [Operation("search", {"query": "kept", "top_k": 1})])
        assert found.value[0]["content"] == "kept"
        assert [sorted(batch) for batch in model.batches] == [["kept", "written over it"]]
        await again.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("journal", [False, True])
def test_a_turn_whose_model_fails_half_way_leaves_the_bank_as_it_was(
    memories_dir: Path, folder: Path, journal: bool
) -> None:
    async def scenario() -> None:
        model = ModelLike()
        broker = MemoryBroker(str(memories_dir), model, str(folder) if journal else None)
        await broker.open("t1", "conv-b")
        await broker.run("t1", [create("known")])
        before = await broker.final_state("t1")
        turn = [
            Operation("search", {"query": "known"}),  # so that the model is first asked when the others are applied
            Operation("delete", {"memory_id": "m1"}),
            create("new"),
            Operation("search", {"query": "known"}),
        ]
        await broker.run("t1", turn[:1])
        model.broken = True
        with pytest.raises(ConnectionError):
            await broker.run("t1", turn)
        assert await broker.final_state("t1") == before
        model.broken = False
        await broker.run("t1", turn)
        base = MemoryBank.from_memories(read_memories(memories_dir / "conv-b.jsonl"), HashingEmbedder())
        expected = MemoryBank.replay(base, [create("known"), *turn])
        assert (await broker.final_state("t1"))["digest"] == expected.digest()
        await broker.stop()

    asyncio.run(scenario())


def test_a_stopped_broker_says_so_instead_of_waiting(memories_dir: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(str(memories_dir), journal_dir=str(tmp_path / "journal"))
        await broker.open("n")
        await broker.stop()
        with pytest.raises(JournalError, match="this broker was stopped"):
            await asyncio.wait_for(broker.run("n", [Operation("create", {"content": "late"})]), 5)

    asyncio.run(scenario())
