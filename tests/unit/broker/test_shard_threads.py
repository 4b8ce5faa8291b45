"""A shard without Ray, called from many threads at once as Ray calls it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from memupdate.broker import JournalError, MemoryBroker, UnknownNamespaceError
from memupdate.broker.actor import BrokerShard
from memupdate.broker.journal import Journal
from memupdate.broker.shared_loop import SharedLoop
from memupdate.broker.wire import decode_outcomes, encode_turn
from memupdate.memory import HashingEmbedder, MemoryBank, Operation, read_memories

THREADS, EACH = 8, 25


def stop(shard: BrokerShard) -> None:
    shard._loop.wait_for(shard._broker.stop())


def create(content: str, key: str = "") -> Operation:
    return Operation("create", {"content": content}, key)


def run(shard: BrokerShard, namespace: str, *operations: Operation) -> list[Any]:
    return [outcome.value for outcome in decode_outcomes(shard.run_encoded(1, encode_turn(namespace, operations)))]


def test_no_step_of_a_coroutine_runs_while_a_thread_holds_the_lock() -> None:
    loop, steps = SharedLoop(), []

    async def count() -> str:
        for _ in range(3):
            assert loop.lock.locked()
            steps.append(threading.current_thread().name)
            await asyncio.sleep(0)
        return "counted"

    with ThreadPoolExecutor(1) as pool:
        with loop.lock:
            counted = pool.submit(lambda: loop.wait_for(count()))
            with pytest.raises(TimeoutError):
                counted.result(timeout=0.05)
            assert steps == []
        assert counted.result(timeout=10) == "counted"
    assert steps == ["shared-loop"] * 3
    with pytest.raises(UnknownNamespaceError):
        loop.wait_for(_refused())


async def _refused() -> None:
    raise UnknownNamespaceError("nobody")


@pytest.mark.parametrize("journal", [False, True])
def test_u19_turns_from_many_threads_are_each_whole_and_happen_once(
    memories_dir: Path, tmp_path: Path, journal: bool
) -> None:
    folder = str(tmp_path / "journal") if journal else None
    shard = BrokerShard(str(memories_dir), journal_dir=folder)
    names = ["shared", *(f"own-{number}" for number in range(THREADS))]
    for name in names:
        shard.call(1, MemoryBroker.open, name, "conv-b")
    begin = threading.Barrier(THREADS)

    def trajectory(number: int) -> None:
        begin.wait(timeout=10)
        for turn in range(EACH):
            pair = [create(f"{number} writes {turn} {part}", f"{number}-{turn}-{part}") for part in "ab"]
            written = run(shard, "shared", *pair)
            assert run(shard, "shared", *pair) == written  # delivered twice
            run(shard, f"own-{number}", create(f"{number} keeps {turn}"), Operation("search", {"query": "cello"}))
            shard.call(1, MemoryBroker.stats, "shared")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(trajectory, range(THREADS)))
    states = {name: shard.call(1, MemoryBroker.final_state, name) for name in names}
    stop(shard)

    contents = [memory["content"] for memory in states["shared"]["memories"]][2:]
    assert sorted(contents) == sorted(
        f"{number} writes {turn} {part}" for number in range(THREADS) for turn in range(EACH) for part in "ab"
    )
    for first, second in zip(contents[::2], contents[1::2], strict=True):  # nobody came between the two of a turn
        assert (first[:-1], first[-1], second[-1]) == (second[:-1], "a", "b")
    for number in range(THREADS):
        mine = [memory["content"] for memory in states[f"own-{number}"]["memories"]][2:]
        assert mine == [f"{number} keeps {turn}" for turn in range(EACH)]
    base = MemoryBank.from_memories(read_memories(memories_dir / "conv-b.jsonl"), HashingEmbedder())
    for state in states.values():
        operations = [Operation.from_json(told) for told in state["journal"]]
        assert MemoryBank.replay(base, operations).digest() == state["digest"]
    if journal:
        again = BrokerShard(str(memories_dir), journal_dir=folder)
        assert {name: again.call(1, MemoryBroker.final_state, name) for name in names} == states
        stop(again)


def test_a_turn_that_cannot_be_written_is_undone_for_every_thread(
    memories_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = BrokerShard(str(memories_dir), journal_dir=str(tmp_path / "journal"))
    names = [f"t{number}" for number in range(THREADS)]
    for name in names:
        shard.call(1, MemoryBroker.open, name, "conv-b")
        run(shard, name, create("acknowledged"))
    before = {name: shard.call(1, MemoryBroker.final_state, name) for name in names}

    def refuse(file: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full, ThreadPoolExecutor(THREADS) as pool:
        full.setattr("memupdate.broker.journal.write_all", refuse)
        turns = [pool.submit(run, shard, name, create("too much")) for name in names]
        errors = [turn.exception(timeout=10) for turn in turns]
    assert all(isinstance(error, JournalError) and "No space left" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == THREADS  # each caller has an error of its own
    assert {name: shard.call(1, MemoryBroker.final_state, name) for name in names} == before
    assert run(shard, "t0", create("there is room again"))[0]["id"] == "m4"
    stop(shard)


def test_a_batch_whose_first_caller_never_came_to_write_it_is_written_by_the_close(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        assert list(journal.recover()) == []
        on_disk, leads = journal.collect({"run": 1})
        assert leads
        shared, leads_too = journal.collect({"run": 2})
        assert (shared is on_disk, leads_too, on_disk.done()) == (True, False, False)
        assert not on_disk.cancel()  # it belongs to both
        await journal.close()
        assert on_disk.done()
        journal.commit()  # the late caller
        with pytest.raises(JournalError, match="stopped"):
            journal.collect({"run": 3})
        again = Journal(tmp_path)
        assert list(again.recover()) == [{"run": 1}, {"run": 2}]
        await again.close()

    asyncio.run(scenario())
