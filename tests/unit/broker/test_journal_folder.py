"""Files of others in a journal's folder, folders of others, and which generation counts (row U24)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memupdate.broker import MemoryBroker
from memupdate.broker.journal import Journal, JournalError, erase
from memupdate.broker.journal_file import encoded, encoded_line
from memupdate.broker.journal_folders import erase_all
from memupdate.errors import DataError, FieldError, MemupdateError

USERS_LINES = b'{"text": "mine"}\n{"text": "mine too"}\n'


def use(folder: Path, *records: dict[str, Any], compact: bool = False) -> list[Any]:
    """Opens the journal, appends, compacts away every record with an odd number, and returns what it held before."""

    async def using() -> list[Any]:
        journal = Journal(folder, lock_wait_s=0)
        try:
            found = list(journal.recover())
            for record in records:
                await journal.append(record)
            if compact:
                await journal.compact(lambda held: [record["run"] % 2 == 0 for record in held])
        finally:
            await journal.close()
        return found

    return asyncio.run(using())


def told(count: int) -> list[dict[str, Any]]:
    return [{"run": n} for n in range(count)]


def contents(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    """Everything in a folder, with the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def put(folder: Path, files: dict[str, bytes | None]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": b"mine"},
        {"data.jsonl": USERS_LINES, "more.jsonl": USERS_LINES},
        {"20240101.jsonl": USERS_LINES, "20240102.jsonl": USERS_LINES},
        {"half.new": b"mine"},
        {"00000001.new": USERS_LINES},
        {"00000001.new": b"a"},
        {"lock": b"mine"},
        {"lock": b"", "notes.txt": b"mine"},
        {"folder": None},
        {"00000001.jsonl": None},
        {"1.jsonl": encoded_line(0, 0, encoded({"format": 1}))},
        {"\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661.jsonl": encoded_line(0, 0, encoded({"format": 1}))},
    ],
    ids=lambda files: "+".join(files),
)
def test_a_folder_of_others_is_refused_and_not_touched(tmp_path: Path, files: dict[str, bytes | None]) -> None:
    folder = tmp_path / "mine"
    put(folder, files)
    before = contents(folder)
    with pytest.raises(MemupdateError, match=r"allowed: a folder that is new or empty, or one with a journal"):
        Journal(folder, lock_wait_s=0)
    with pytest.raises(MemupdateError, match="a folder that is new or empty"):
        MemoryBroker(None, journal_dir=str(folder))
    erase(folder, lock_wait_s=0)
    assert contents(folder) == before


OTHERS: dict[str, bytes | None] = {
    "notes.txt": b"mine",
    "data.jsonl": USERS_LINES,
    "half.new": b"mine",
    "20240101.jsonl": USERS_LINES,
    "00000002.jsonl": USERS_LINES,
    "00000003.new": USERS_LINES,
    "00000004.jsonl": None,
}


def test_files_of_others_beside_a_journal_are_left_alone_by_start_compaction_and_erase(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    use(folder, *told(6))
    put(folder, {**OTHERS, "backup.jsonl": (folder / "00000001.jsonl").read_bytes()})
    others = contents(folder)
    for name in ("00000001.jsonl", "lock"):
        del others[name]

    def of_others() -> dict[str, tuple[bytes | None, int]]:
        return {name: content for name, content in contents(folder).items() if name in others}

    assert use(folder, {"run": 6}, {"run": 7}, compact=True) == told(6)
    assert use(folder, {"run": 8}, compact=True) == [{"run": 0}, {"run": 2}, {"run": 4}, {"run": 6}]
    assert use(folder) == [{"run": 0}, {"run": 2}, {"run": 4}, {"run": 6}, {"run": 8}]
    assert of_others() == others
    assert len(contents(folder)) == len(others) + 2
    erase(folder, lock_wait_s=0)
    assert contents(folder) == others


def test_a_folder_of_a_fresh_file_system_is_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    use(tmp_path, *told(1))
    assert use(tmp_path) == told(1)


def generation_pair(folder: Path) -> tuple[Path, Path]:
    """A journal as a crash leaves it between the publishing of a generation and the removal of the one before."""
    use(folder, *told(6))
    old = (folder / "00000001.jsonl").read_bytes()
    use(folder, compact=True)
    put(folder, {"00000001.jsonl": old})
    return folder / "00000001.jsonl", folder / "00000002.jsonl"


def test_u24_the_older_of_two_generations_goes_when_the_newer_is_proven(tmp_path: Path) -> None:
    older, newer = generation_pair(tmp_path / "bank")
    assert use(tmp_path / "bank", {"run": 6}) == [{"run": 0}, {"run": 2}, {"run": 4}]
    assert not older.exists()
    assert newer.exists()


def test_u24_the_newer_generation_may_have_grown_and_be_torn(tmp_path: Path) -> None:
    older, newer = generation_pair(tmp_path / "bank")
    content = older.read_bytes()
    use(tmp_path / "bank", {"run": 6})
    older.write_bytes(content)
    with newer.open("ab") as file:
        file.write(encoded_line(5, 5, b'{"run":7}')[:-4])
    assert use(tmp_path / "bank") == [{"run": 0}, {"run": 2}, {"run": 4}, {"run": 6}]
    assert not older.exists()


def _lines(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "the newer is empty": lambda older, newer: newer.write_bytes(b""),
    "the newer is zeros": lambda older, newer: newer.write_bytes(bytes(newer.stat().st_size)),
    "the newer ends early": lambda older, newer: _lines(newer, lambda lines: lines[:-1]),
    "the newer ends in a record": lambda older, newer: newer.write_bytes(newer.read_bytes()[:-5]),
    "the newer ends in its header": lambda older, newer: newer.write_bytes(newer.read_bytes()[:30]),
    "a record of the newer is damaged": lambda older, newer: newer.write_bytes(
        newer.read_bytes().replace(b'"run":0', b'"run":1')
    ),
    "the header of the newer is damaged": lambda older, newer: newer.write_bytes(
        newer.read_bytes().replace(b"sha256", b"sha257")
    ),
    "the older has grown": lambda older, newer: older.write_bytes(
        older.read_bytes() + encoded_line(7, 7, b'{"run":6}')
    ),
    "the older is damaged": lambda older, newer: older.write_bytes(older.read_bytes().replace(b'"run":3', b'"run":1')),
    "a copy of the older": lambda older, newer: newer.write_bytes(older.read_bytes()),
    "a copy of a later name": lambda older, newer: newer.with_name("00000003.jsonl").write_bytes(older.read_bytes()),
    "of a later format": lambda older, newer: newer.write_bytes(encoded_line(0, 0, encoded({"format": 2}))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_u24_of_two_generations_none_is_chosen_or_removed_without_proof(tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](*generation_pair(tmp_path / "bank"))
    before = contents(tmp_path / "bank")
    with pytest.raises(DataError, match=r"0000000[123]\.jsonl"):
        use(tmp_path / "bank", {"run": 9})
    with pytest.raises(DataError, match=r"0000000[123]\.jsonl"):
        MemoryBroker(None, journal_dir=str(tmp_path / "bank"))
    assert contents(tmp_path / "bank") == before


def test_a_generation_of_another_bank_is_not_taken_for_a_newer_one(tmp_path: Path) -> None:
    use(tmp_path / "bank", *told(6))
    use(tmp_path / "other", *told(4), compact=True)
    copied = (tmp_path / "other" / "00000002.jsonl").read_bytes()
    put(tmp_path / "bank", {"00000002.jsonl": copied})
    before = contents(tmp_path / "bank")
    with pytest.raises(DataError, match=r"expected a generation that was made from 00000001\.jsonl, found another"):
        use(tmp_path / "bank")
    assert contents(tmp_path / "bank") == before
    (tmp_path / "bank" / "00000002.jsonl").unlink()
    assert use(tmp_path / "bank") == told(6)


def test_a_compacted_file_that_lost_its_end_is_damaged_and_not_torn(tmp_path: Path) -> None:
    use(tmp_path, *told(6), compact=True)
    path = tmp_path / "00000002.jsonl"
    whole = path.read_bytes()
    for end in (len(whole) - 5, whole[:-1].rindex(b"\n") + 1):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"00000002\.jsonl:4: expected 3 records, found the end or damage"):
            use(tmp_path)
        assert path.read_bytes() == whole[:end]


@pytest.mark.parametrize("told_format", [2, 99])
def test_a_journal_of_a_later_format_is_refused_with_both_versions(tmp_path: Path, told_format: int) -> None:
    line = encoded_line(0, 0, encoded({"format": told_format, "pages": True}))
    put(tmp_path, {"00000001.jsonl": line})
    with pytest.raises(DataError, match=rf"format {told_format}, of a later version of memupdate; allowed: 1"):
        use(tmp_path)
    with pytest.raises(DataError, match="of a later version"):
        erase(tmp_path, lock_wait_s=0)
    assert contents(tmp_path)["00000001.jsonl"][0] == line


def test_unfinished_generations_go_when_the_journal_is_read(tmp_path: Path) -> None:
    use(tmp_path, *told(2))
    first = encoded_line(0, 0, encoded({"format": 1}))
    begun = encoded_line(
        0, 0, encoded({"format": 1, "records": 9, "after": {"generation": 1, "bytes": 1, "sha256": ""}})
    )
    used = first + encoded_line(1, 1, b'{"run":8}')  # somebody renamed it
    grown = encoded_line(
        0, 0, encoded({"format": 1, "records": 0, "after": {"generation": 1, "bytes": 1, "sha256": ""}})
    )
    grown += encoded_line(1, 1, b'{"run":8}')
    unknown = encoded_line(
        0, 0, encoded({"format": 1, "records": 9, "after": {"generation": 7, "bytes": 1, "sha256": ""}})
    )
    put(tmp_path, {"00000002.new": begun, "00000003.new": b"", "00000004.new": begun[:40], "00000005.new": first})
    # Of a generation that is not here, or used: perhaps the only copies of their records.
    kept = {"00000006.new": unknown, "00000007.new": used, "00000008.new": grown}
    put(tmp_path, kept)
    assert use(tmp_path) == told(2)
    assert sorted(contents(tmp_path)) == ["00000001.jsonl", *kept, "lock"]
    (tmp_path / "00000001.jsonl").unlink()
    with pytest.raises(FieldError, match=r"this one holds '00000006\.new' and no journal"):
        use(tmp_path)


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_start_that_fails_releases_the_folder_and_every_descriptor(tmp_path: Path, memories_dir: Path) -> None:
    folder = tmp_path / "bank"

    async def banks() -> None:
        broker = MemoryBroker(str(memories_dir), journal_dir=str(folder))
        await broker.open("t1", "conv-a")
        await broker.stop()

    asyncio.run(banks())
    path = folder / "00000001.jsonl"
    whole = path.read_bytes()
    line = encoded_line(2, 2, encoded({"merge": 0}))
    before = descriptors()
    for content in (whole + line, whole.replace(b"format", b"farmat"), b"", whole + encoded_line(2, 2, b'{"run":7}')):
        path.write_bytes(content)
        for _ in range(3):
            with pytest.raises(DataError):
                MemoryBroker(str(memories_dir), journal_dir=str(folder))
            assert descriptors() == before
    path.write_bytes(whole)
    with pytest.raises(FieldError, match="sample_id"):
        MemoryBroker(None, journal_dir=str(folder))  # its conversation is missing
    assert descriptors() == before
    asyncio.run(banks())
    assert descriptors() == before


def test_a_folder_that_is_held_costs_no_descriptor(tmp_path: Path) -> None:
    journal = Journal(tmp_path, lock_wait_s=0)
    before = descriptors()
    for _ in range(3):
        with pytest.raises(JournalError, match="another process holds"):
            Journal(tmp_path, lock_wait_s=0)
    assert descriptors() == before
    journal.release()
    journal.release()
    use(tmp_path, *told(1))


def test_who_waits_for_a_journal_that_is_erased_holds_the_new_lock_alone(tmp_path: Path) -> None:
    held = Journal(tmp_path, lock_wait_s=0)
    erased = threading.Thread(target=erase, args=(tmp_path, 10.0))
    erased.start()
    held.release()
    erased.join(10)
    assert not erased.is_alive()
    assert not (tmp_path / "lock").exists()
    first = Journal(tmp_path, lock_wait_s=0)
    with pytest.raises(JournalError, match="another process holds"):
        Journal(tmp_path, lock_wait_s=0)
    first.release()


def test_erasing_all_shards_leaves_files_and_folders_of_others(tmp_path: Path) -> None:
    for name in ("shard-0-of-2", "shard-1-of-2"):
        use(tmp_path / name, *told(1))
    put(tmp_path / "shard-1-of-2", {"notes.txt": b"mine"})
    put(tmp_path / "shard-one-of-two", {"00000001.jsonl": USERS_LINES})
    put(tmp_path, {"shard-0-of-3": b"mine"})
    erase_all(tmp_path)
    left = {name: content for name, (content, _) in contents(tmp_path).items()}
    assert left == {
        "shard-0-of-3": b"mine",
        "shard-1-of-2": None,
        "shard-1-of-2/notes.txt": b"mine",
        "shard-one-of-two": None,
        "shard-one-of-two/00000001.jsonl": USERS_LINES,
    }


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"merge": 0}, r"begins with 'merge': 0; allowed: open, fork, run, close"),
        ({"together": [{"merge": 0}]}, r"begins with 'merge': 0"),
        ({}, r"begins with '': None"),
        ({"close": "0"}, r"begins with 'close': '0'"),
        ({"run": 5, "operations": []}, "a run record about bank 5 is out of order"),
        ({"close": 5}, "a close record about bank 5 is out of order"),
        ({"fork": 1, "namespace": "t2", "parent": 5, "key": ""}, "a fork record about bank 1 is out of order"),
        ({"open": 0, "namespace": "t2"}, "a open record about bank 0 is out of order"),
    ],
    ids=str,
)
def test_a_record_of_an_unknown_kind_is_an_error_and_no_close(
    tmp_path: Path, record: dict[str, Any], problem: str
) -> None:
    async def first() -> None:
        broker = MemoryBroker(None, journal_dir=str(tmp_path))
        await broker.open("t1")
        await broker.stop()

    asyncio.run(first())
    path = tmp_path / "00000001.jsonl"
    with path.open("ab") as file:
        file.write(encoded_line(2, 2, encoded(record)))
    before = path.read_bytes()
    with pytest.raises(DataError, match=problem):
        MemoryBroker(None, journal_dir=str(tmp_path))
    assert path.read_bytes() == before
    assert json.loads(before.splitlines()[1])["record"]["namespace"] == "t1"
