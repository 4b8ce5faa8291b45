"""Writes and compactions that fail half-way, in a shard as Ray calls it (row U24)."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from memupdate.broker import JournalError, MemoryBroker
from memupdate.broker.actor import BrokerShard
from memupdate.broker.journal import Journal, UncertainWriteError
from memupdate.broker.wire import decode_outcomes, encode_turn
from memupdate.errors import DataError
from memupdate.memory import Operation


def create(content: str) -> Operation:
    return Operation("create", {"content": content})


def run(shard: BrokerShard, namespace: str, content: str) -> None:
    (outcome,) = decode_outcomes(shard.run_encoded(1, encode_turn(namespace, [create(content)])))
    assert not outcome.error


def contents(shard: BrokerShard, namespace: str) -> list[str]:
    return [memory["content"] for memory in shard.call(1, MemoryBroker.list_memories, namespace)]


def stop(shard: BrokerShard) -> None:
    shard._loop.wait_for(shard._broker.stop())


def compacting_shard(folder: Path) -> BrokerShard:
    """A shard that compacts its journal at the next close."""
    shard = BrokerShard(None, journal_dir=str(folder))
    shard._broker._compact_from = 1
    return shard


def refuses(real: Callable[..., Any], refused: Callable[..., bool]) -> Callable[..., Any]:
    """A system call that is refused, once, where ``refused`` says so of its arguments."""
    left = [True]

    def call(*args: Any, **kwargs: Any) -> Any:
        if left and refused(*args):
            left.clear()
            raise OSError(errno.EMFILE, "Too many open files")
        return real(*args, **kwargs)

    return call


def is_open_of_the_new(path: object, flags: int = 0, *_: object) -> bool:
    return str(path).endswith("00000002.jsonl") and bool(flags & os.O_WRONLY)


def is_sync_of_the_folder(path: object, *_: object) -> bool:
    return Path(str(path)).name == "journal"


FAULTS = {
    "open of the new file": ("open", is_open_of_the_new),
    "open of the folder": ("open", is_sync_of_the_folder),
    "rename": ("rename", lambda source, target: True),
    "unlink of the old file": ("unlink", lambda path, **_: str(path).endswith("00000001.jsonl")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_u24_writes_after_a_compaction_that_failed_half_way_are_there_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    shard = compacting_shard(tmp_path / "journal")
    for namespace in ("kept", "closed"):
        shard.call(1, MemoryBroker.open, namespace)
        run(shard, namespace, "before")
    name, refused = FAULTS[fault]
    with monkeypatch.context() as failing:
        failing.setattr(os, name, refuses(getattr(os, name), refused))
        shard.call(1, MemoryBroker.close, "closed")
        shard._loop.wait_for(_compacted(shard))
    for number in range(3):
        run(shard, "kept", f"after {number}")
    expected = contents(shard, "kept")
    stop(shard)
    assert expected == ["before", "after 0", "after 1", "after 2"]
    again = BrokerShard(None, journal_dir=str(tmp_path / "journal"))
    assert contents(again, "kept") == expected
    assert again.call(1, MemoryBroker.namespaces) == ["kept"]
    stop(again)
    assert len(list((tmp_path / "journal").glob("*.jsonl"))) == 1


async def _compacted(shard: BrokerShard) -> None:
    unfinished = set(shard._broker._unfinished) - {asyncio.current_task()}
    if unfinished:
        await asyncio.wait(unfinished, timeout=10)


def test_u24_after_a_failed_sync_no_write_is_acknowledged_in_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second sync would succeed without writing what the first one failed to write."""
    folder = tmp_path / "journal"
    shard = BrokerShard(None, journal_dir=str(folder))
    shard.call(1, MemoryBroker.open, "t1")
    run(shard, "t1", "before")
    inode = (folder / "00000001.jsonl").stat().st_ino
    synced: list[int] = []

    def failing(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        if len(synced) == 1:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(JournalError, match="Input/output error; the bank stays as it was"):
        run(shard, "t1", "refused")
    run(shard, "t1", "after")
    assert contents(shard, "t1") == ["before", "after"]
    assert synced[0] == inode
    assert inode not in synced[1:]
    assert [path.name for path in sorted(folder.iterdir())] == ["00000002.jsonl", "lock"]
    stop(shard)
    again = BrokerShard(None, journal_dir=str(folder))
    assert contents(again, "t1") == ["before", "after"]
    stop(again)


def test_u24_a_write_that_cannot_be_taken_back_says_so_and_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = BrokerShard(None, journal_dir=str(tmp_path))
    shard.call(1, MemoryBroker.open, "t1")

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", broken)
        failing.setattr(os, "ftruncate", broken)
        with pytest.raises(UncertainWriteError, match="may come back if the broker ends before its next successful"):
            run(shard, "t1", "uncertain")
        with pytest.raises(JournalError, match="the bank stays as it was"):
            run(shard, "t1", "refused")
    assert contents(shard, "t1") == []
    run(shard, "t1", "after")
    stop(shard)
    again = BrokerShard(None, journal_dir=str(tmp_path))
    assert contents(again, "t1") == ["after"]
    stop(again)


def test_u24_a_compaction_drops_no_record_that_it_cannot_read_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        assert list(journal.recover()) == []
        for number in range(3):
            await journal.append({"run": number})
        path = tmp_path / "00000001.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"run":2', b'"run":3'))
        with pytest.raises(DataError, match=r"00000001\.jsonl:4: expected 4 acknowledged lines, found damage"):
            await journal.compact(lambda found: [True for _ in found])
        assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["00000001.jsonl", "lock"]
        journal.release()

    asyncio.run(scenario())


class Refusing:
    """A disk that refuses every write while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._real = os.write
        monkeypatch.setattr(os, "write", self._write)

    def _write(self, file: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._real(file, data)


@pytest.mark.parametrize("steps", [1, 3])
def test_no_exception_of_a_full_disk_is_lost_when_callers_go_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, steps: int
) -> None:
    disk = Refusing(monkeypatch)

    async def scenario() -> None:
        broker = MemoryBroker(None, journal_dir=str(tmp_path))
        for number in range(4):
            await broker.open(f"t{number}")
        disk.full = True
        calls = [broker.run(f"t{number % 4}", [create(f"lost {number}")]) for number in range(12)]
        tasks = [asyncio.create_task(call) for call in [*calls, broker.open("t9"), broker.close("t0")]]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, JournalError | asyncio.CancelledError) for end in ends)
        await broker.stop()

    with caplog.at_level(logging.ERROR, logger="asyncio"):
        asyncio.run(scenario())
        gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_no_exception_of_a_full_disk_is_lost_in_a_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Refusing(monkeypatch)
    shard = compacting_shard(tmp_path)
    for number in range(4):
        shard.call(1, MemoryBroker.open, f"t{number}")
    disk.full = True
    with ThreadPoolExecutor(8) as pool:
        turns = [pool.submit(run, shard, f"t{number % 4}", "lost") for number in range(40)]
        calls = [pool.submit(shard.call, 1, MemoryBroker.close, f"t{number}") for number in range(4)]
        assert all(isinstance(future.exception(10), JournalError) for future in [*turns, *calls])
    disk.full = False
    shard.call(1, MemoryBroker.close, "t0")
    stop(shard)
    del turns, calls
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_a_failed_compaction_is_logged_by_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shard = compacting_shard(tmp_path)
    shard.call(1, MemoryBroker.open, "t1")
    monkeypatch.setattr(os, "rename", refuses(os.rename, lambda *_: True))
    shard.call(1, MemoryBroker.close, "t1")
    stop(shard)
    assert "the journal goes on as it is, without compaction" in caplog.text
    assert "Too many open files" in caplog.text
