"""The journal's file: torn ends, damage, disks that refuse, compaction cut between any two of its steps."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from memupdate.broker.journal import Journal, JournalError, erase
from memupdate.errors import DataError


def records(count: int) -> list[dict[str, Any]]:
    return [{"run": n, "text": "ünï\u2028" * n} for n in range(count)]


def write(folder: Path, *batches: Sequence[dict[str, Any]]) -> Path:
    """A journal in which each batch was appended at once; returns its file."""

    async def writing() -> None:
        journal = Journal(folder, lock_wait_s=0)
        list(journal.recover())
        for batch in batches:
            await asyncio.gather(*(journal.append(record) for record in batch))
        await journal.close()

    asyncio.run(writing())
    (path,) = folder.glob("*.jsonl")
    return path


def read(folder: Path) -> list[Any]:
    async def reading() -> list[Any]:
        journal = Journal(folder, lock_wait_s=0)
        found = list(journal.recover())
        await journal.close()
        return found

    return asyncio.run(reading())


def test_u24_what_was_appended_is_read_again(tmp_path: Path) -> None:
    told = records(5)
    write(tmp_path, told[:3], told[3:4])
    write(tmp_path, told[4:])
    assert read(tmp_path) == told


def test_every_line_is_json_that_another_program_reads(tmp_path: Path) -> None:
    lines = write(tmp_path, records(3)).read_bytes().splitlines()
    assert [json.loads(line)["record"] for line in lines] == [{"format": 1}, *records(3)]
    assert [json.loads(line)["n"] for line in lines] == [0, 1, 2, 3]


def test_u24_a_journal_cut_at_every_byte_of_its_last_record_keeps_every_earlier_one(tmp_path: Path) -> None:
    path = write(tmp_path / "whole", *[[record] for record in records(4)])
    whole = path.read_bytes()
    begin = whole[:-1].rindex(b"\n") + 1
    for end in range(begin, len(whole)):
        cut = tmp_path / f"cut-{end}"
        shutil.copytree(tmp_path / "whole", cut)
        (cut / path.name).write_bytes(whole[:end])
        assert read(cut) == records(3)
        assert (cut / path.name).read_bytes() == whole[:begin]  # and it can be written on
        write(cut, [{"run": 9}])
        assert read(cut) == [*records(3), {"run": 9}]


def test_u24_a_last_record_with_a_wrong_byte_is_dropped_and_no_earlier_one(tmp_path: Path) -> None:
    path = write(tmp_path, *[[record] for record in records(4)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"?" + whole[-8:])
    assert read(tmp_path) == records(3)


def test_u24_a_batch_torn_in_its_middle_was_never_acknowledged_and_goes_from_there_on(tmp_path: Path) -> None:
    """Blocks of one write may reach the disk in any order."""
    path = write(tmp_path, records(4)[:1], records(4)[1:])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b"\0" * (len(lines[3]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
    assert read(tmp_path) == records(2)


@pytest.mark.parametrize("damage", ["wrong byte", "missing line", "line twice"])
def test_a_damaged_record_before_acknowledged_ones_is_an_error_that_names_the_line(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path, *[[record] for record in records(4)])
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == "wrong byte":
        lines[2] = lines[2].replace(b"run", b"RUN")
    elif damage == "missing line":
        del lines[2]
    else:
        lines.insert(2, lines[1])
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(DataError, match=rf"{path.name}:3: expected record 2"):
        read(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello\n", b'{"crc"'])
def test_a_file_that_is_no_journal_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "00000001.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"00000001\.jsonl:1: expected"):
        read(tmp_path)


def test_two_processes_never_hold_one_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(JournalError, match="another process holds this journal"):
        Journal(tmp_path, lock_wait_s=0)
    with pytest.raises(JournalError, match="another process holds this journal"):
        erase(tmp_path, lock_wait_s=0)
    asyncio.run(journal.close())
    asyncio.run(Journal(tmp_path, lock_wait_s=0).close())


def test_erase_leaves_an_empty_journal(tmp_path: Path) -> None:
    write(tmp_path, records(3))
    erase(tmp_path)
    erase(tmp_path / "never-was")
    assert read(tmp_path) == []


def test_many_appends_share_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, all_told = [], threading.Event()

    def sync(file: int) -> None:
        assert all_told.wait(timeout=10)  # the first write lasts until every append has come
        synced.append(file)

    async def writing() -> None:
        journal = Journal(tmp_path, lock_wait_s=0)
        assert list(journal.recover()) == []
        appends = [asyncio.create_task(journal.append(record)) for record in records(200)]
        await asyncio.sleep(0)
        all_told.set()
        await asyncio.gather(*appends)
        await journal.close()

    monkeypatch.setattr(os, "fdatasync", sync)
    asyncio.run(writing())
    assert 1 <= len(synced) <= 2
    assert read(tmp_path) == records(200)


def test_a_failed_write_leaves_no_trace_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes half of a record and then refuses; at first it also refuses to cut the half off."""

    async def scenario() -> None:
        journal = Journal(tmp_path)
        list(journal.recover())
        await journal.append({"run": 0})
        whole = (tmp_path / "00000001.jsonl").read_bytes()
        write_file, cut_file, refusing = os.write, os.ftruncate, {"write": True, "cut": True}

        def half(file: int, data: Any) -> int:
            if refusing["write"] and len(data) < 40:
                raise OSError(30, "Read-only file system")
            return write_file(file, bytes(data)[: max(1, len(data) // 2)])

        def cut(file: int, size: int) -> None:
            if refusing["cut"]:
                raise OSError(5, "Input/output error")
            cut_file(file, size)

        monkeypatch.setattr(os, "write", half)
        monkeypatch.setattr(os, "ftruncate", cut)
        with pytest.raises(JournalError, match=r"Read-only file system; the bank stays as it was; allowed: .*writable"):
            await journal.append({"run": 1})
        refusing["write"] = False
        with pytest.raises(JournalError, match="Input/output error"):
            await journal.append({"run": 2})
        refusing["cut"] = False
        await journal.append({"run": 3})
        assert (tmp_path / "00000001.jsonl").read_bytes().startswith(whole)
        await journal.close()

    asyncio.run(scenario())
    assert read(tmp_path) == [{"run": 0}, {"run": 3}]


FULL = """
import asyncio, resource, sys
from pathlib import Path
from memupdate.broker.journal import Journal, JournalError

async def fill() -> int:
    journal = Journal(Path(sys.argv[1]))
    list(journal.recover())
    for count in range(1000):
        try:
            await journal.append({"run": count})
        except JournalError as error:
            print(error, file=sys.stderr)
            return count

resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
print(asyncio.run(fill()))
"""


def test_a_file_that_may_not_grow_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """A real refusal of the operating system, in the middle of a record."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    written = int(done.stdout)
    assert 10 < written < 1000
    assert "File too large; the bank stays as it was" in done.stderr
    assert read(tmp_path) == [{"run": n} for n in range(written)]


def test_an_error_that_a_caller_got_is_not_logged_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(file: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        journal = Journal(tmp_path)
        assert list(journal.recover()) == []
        with monkeypatch.context() as full:
            full.setattr("memupdate.broker.journal.write_all", refuse)
            with pytest.raises(JournalError, match="No space left"):
                await journal.append({"run": 1})
        await journal.close()

    asyncio.run(scenario())
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_directory_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="Not a directory"):
        Journal(tmp_path / "file" / "journal")


class Killed(BaseException):
    """The process ends here."""


STEPS = ("open", "write", "fsync", "rename", "close", "unlink")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", [0, 1, 2])
def test_u24_a_compaction_killed_between_any_two_steps_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, nth: int
) -> None:
    told = records(6)
    write(tmp_path / "journal", *[[record] for record in told])

    def odd(found: Iterable[Any]) -> list[bool]:
        return [record["run"] % 2 == 1 for record in found]

    async def compacting() -> bool:
        journal = Journal(tmp_path / "journal")
        list(journal.recover())
        left = nth
        where, name = (Path, step) if step in ("rename", "unlink") else (os, step)
        real = getattr(where, name)

        def killed(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                shutil.copytree(tmp_path / "journal", tmp_path / "killed")  # the disk as it was at this moment
            left -= 1
            return real(*args, **kwargs)

        monkeypatch.setattr(where, name, killed)
        await journal.compact(odd)
        monkeypatch.undo()
        await journal.append({"run": 7})
        await journal.close()
        return left < 0

    reached = asyncio.run(compacting())
    assert read(tmp_path / "journal") == [*told[1::2], {"run": 7}]
    if reached:
        assert read(tmp_path / "killed") in (told, told[1::2])
        assert len(list((tmp_path / "killed").glob("*.jsonl"))) == 1


def test_a_compaction_without_room_leaves_the_journal_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        journal = Journal(tmp_path)
        list(journal.recover())
        await journal.append({"run": 1})
        real = os.fsync

        def full(file: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(JournalError, match="No space left"):
            await journal.compact(lambda found: [False for _ in found])
        monkeypatch.setattr(os, "fsync", real)
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["00000001.jsonl", "lock"]
        await journal.append({"run": 2})
        await journal.close()

    asyncio.run(scenario())
    assert read(tmp_path) == [{"run": 1}, {"run": 2}]
