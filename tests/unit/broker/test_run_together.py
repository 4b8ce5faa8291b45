"""Turns on several namespaces take effect together or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memupdate.broker import JournalError, MemoryBroker, RefusedError, UnknownNamespaceError, history
from memupdate.memory import Operation


def put(number: int) -> Operation:
    return Operation("put", {"memory_id": "k", "content": f"value {number}"}, key=f"key {number}")


async def values(broker: MemoryBroker) -> list[list[str]]:
    return [[memory["content"] for memory in await broker.list_memories(name)] for name in ("a", "b")]


async def opened(folder: Path, **settings: Any) -> MemoryBroker:
    broker = MemoryBroker(None, journal_dir=str(folder), **settings)
    await asyncio.gather(broker.open("a"), broker.open("b"))
    return broker


def test_a_process_that_dies_at_any_byte_of_the_journal_leaves_all_or_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = await opened(tmp_path / "whole")
        for number in range(3):
            assert set(await broker.run_together({"a": [put(number)], "b": [put(number)]})) == {"a", "b"}
        await broker.stop()
        (file,) = (tmp_path / "whole").glob("*.jsonl")
        written = file.read_bytes()
        seen = []
        for size in [*range(written.index(b"value 1"), len(written), 47), len(written)]:
            shutil.copytree(tmp_path / "whole", tmp_path / "cut")
            (tmp_path / "cut" / file.name).write_bytes(written[:size])
            cut = await opened(tmp_path / "cut")
            in_a, in_b = await values(cut)
            assert in_a == in_b
            seen.append("".join(in_a))
            await cut.stop()
            shutil.rmtree(tmp_path / "cut")
        assert seen == sorted(seen)
        assert set(seen) == {"value 0", "value 1", "value 2"}

    asyncio.run(scenario())


def test_a_compaction_keeps_turns_whose_other_bank_is_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = await opened(tmp_path, compact_at=1)
        await broker.run_together({"a": [put(0)], "b": [put(0)]})
        await broker.close("a")
        await broker.stop()
        (file,) = tmp_path.glob("*.jsonl")
        assert file.name == "00000002.jsonl"  # compacted: the records of a are gone, except for its turn beside b's
        assert '"namespace":"a"' not in file.read_text()
        again = MemoryBroker(None, journal_dir=str(tmp_path), compact_at=1)
        assert [memory["content"] for memory in await again.list_memories("b")] == ["value 0"]
        await again.open("a")
        assert await again.list_memories("a") == []
        await again.close("a")
        await again.stop()
        last = MemoryBroker(None, journal_dir=str(tmp_path))
        assert [memory["content"] for memory in await last.list_memories("b")] == ["value 0"]
        await last.stop()

    asyncio.run(scenario())


def test_a_write_that_fails_undoes_all_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        broker = await opened(tmp_path)
        await broker.run_together({"a": [put(0)], "b": [put(0)]})
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(JournalError, match="No space"):
                await broker.run_together({"a": [put(1)], "b": [put(1)]})
        assert await values(broker) == [["value 0"]] * 2
        await broker.run_together({"a": [put(2)], "b": [put(2)]})
        await broker.stop()
        again = await opened(tmp_path)
        assert await values(again) == [["value 2"]] * 2
        await again.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("durable", [True, False])
def test_one_refused_operation_refuses_all_and_a_missing_delete_does_not(tmp_path: Path, durable: bool) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(None, journal_dir=str(tmp_path) if durable else None)
        await asyncio.gather(broker.open("a"), broker.open("b"))
        gone = Operation("update", {"memory_id": "nothing", "content": "x"})
        with pytest.raises(RefusedError, match="update on bank 'b'"):
            await broker.run_together({"a": [put(0)], "b": [put(0), gone]})
        assert await values(broker) == [[], []]
        with pytest.raises(UnknownNamespaceError, match="'c'"):
            await broker.run_together({"a": [put(0)], "c": [put(0)]})
        outcomes = await broker.run_together({"a": [put(0)], "b": [Operation("delete", {"memory_id": "nothing"})]})
        assert [outcomes[name][0].error != "" for name in ("a", "b")] == [False, True]
        assert await values(broker) == [["value 0"], []]
        assert await broker.run_together({"a": [put(0)]}) == {"a": outcomes["a"]}  # sent again
        assert await broker.run_together({}) == {}
        await broker.stop()

    asyncio.run(scenario())


def test_calls_that_meet_never_see_half_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = await opened(tmp_path)
        writes = [broker.run_together({"ab"[n % 2]: [put(n)], "ba"[n % 2]: [put(n)]}) for n in range(40)]
        reads = [broker.run_together({"a": [get()], "b": [get()]}) for _ in range(40)]
        answers = await asyncio.gather(*(call for pair in zip(writes, reads, strict=True) for call in pair))
        for read in answers[1::2]:
            assert read["a"][0].memory["content"] == read["b"][0].memory["content"]
        await broker.stop()

    asyncio.run(scenario())


def get() -> Operation:
    return Operation("get", {"memory_id": "k"})


def test_a_compaction_keeps_what_open_banks_need_and_closed_banks_stay_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = await opened(tmp_path, compact_at=1)
        await broker.run_together({"a": [put(0)], "b": [put(0)]})
        await broker.fork("c", "b")
        await broker.run_together({"a": [put(1)], "b": [put(1)]})
        await broker.close("b")  # compacts
        state = [await broker.final_state(name) for name in ("a", "c")]
        await broker.stop()
        again = MemoryBroker(None, journal_dir=str(tmp_path), compact_at=1)
        assert await again.namespaces() == ["a", "c"]
        assert [await again.final_state(name) for name in ("a", "c")] == state
        await again.open("b")
        await again.run_together({"a": [put(2)], "b": [put(2)]})
        await again.close("c")
        assert await values(again) == [["value 2"]] * 2
        await again.stop()
        third = MemoryBroker(None, journal_dir=str(tmp_path))
        assert await values(third) == [["value 2"]] * 2
        assert await third.namespaces() == ["a", "b"]
        await third.stop()

    asyncio.run(scenario())


def test_a_record_stays_as_long_as_one_of_its_turns_is_needed() -> None:
    both = history.together([history.ran(0, [put(0)]), history.ran(1, [put(0)])])
    records = [history.opened(0, "a", "", "d"), history.opened(1, "b", "", "d"), both, history.closed(1)]
    assert history.needed_whole(records) == [True, False, True, False]
    assert history.needed_whole([*records, history.closed(0)]) == [False] * 5
