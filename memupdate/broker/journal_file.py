"""A journal's files: how a record becomes a line, what a torn line is, and how generations replace each other.

A journal is a folder with one file ``{generation}.jsonl``. A line is
``{"crc":"…","n":number,"b":batch,"record":{…}}``: the CRC-32 of everything behind it, the record's number (they count
from 0 without a gap), and the number of the first record that was written in the same batch. So a reader can tell a
write that a crash has torn, which was never acknowledged, from damage to records that were:

- a bad line that only lines of its own batch follow is torn: the file is cut there;
- a bad line that a later batch follows is damage, which is an error. No earlier record is ever dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memupdate.errors import DataError, MemupdateError

Record = Mapping[str, Any]

HEADER = {"format": 1}
_HEAD = b'{"crc":"'
_CHECKED_FROM = len(_HEAD) + 8 + len(b'",')  # the CRC is eight hex digits
_RECORD = b'"record":'
_LOCK_RETRY_S = 0.05


class JournalError(MemupdateError):
    """The journal could not be written. The change that should have been in it did not happen.

    Attributes:
        path: the file or folder.
        problem: the operating system's reason.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"journal_dir: cannot write {self.path}: {self.problem}; the bank stays as it was; allowed: a directory of "
            "this process alone, writable, on a disk with room"
        )


def locked(path: Path, wait_s: float) -> int:
    """Returns a descriptor that holds the lock until it is closed. The end of the process closes it too."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError as error:
            if time.monotonic() + _LOCK_RETRY_S > deadline:
                os.close(lock)
                raise JournalError(str(path.parent), "another process holds this journal") from error
            time.sleep(_LOCK_RETRY_S)
        except OSError:
            os.close(lock)
            raise


def newest_generation(folder: Path) -> Path:
    """Returns the newest generation's file, made if there is none. Removes what an interrupted compaction left."""
    for unfinished in folder.glob("*.new"):
        unfinished.unlink()
    generations = sorted(folder.glob("*.jsonl"))
    if not generations:
        first = folder / f"{1:08d}.jsonl"
        write_generation(first, [])
        return first
    for old in generations[:-1]:  # a generation has its name from the moment it is whole
        old.unlink()
    return generations[-1]


def write_generation(path: Path, bodies: Iterable[bytes]) -> tuple[int, int]:
    """Writes a file with a header and these records, or no file. Returns the number of records, and of bytes."""
    unfinished = path.with_suffix(".new")
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        number, size = 0, 0
        for body in (encoded(HEADER), *bodies):
            line = encoded_line(number, number, body)
            write_all(file, line)
            number, size = number + 1, size + len(line)
        os.fsync(file)
    except OSError:
        unfinished.unlink()  # a full disk has no room for it
        raise
    finally:
        os.close(file)
    unfinished.rename(path)
    sync_folder(path.parent)
    return number, size


def write_all(file: int, data: bytes) -> None:
    """Writes all of ``data``, in as many calls as the system needs."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_folder(folder: Path) -> None:
    """Puts on disk which files the folder has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encoded(record: Record) -> bytes:
    """Returns the record as the body of a line."""
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode()


def encoded_line(number: int, batch: int, body: bytes) -> bytes:
    """Returns a whole line, with its CRC."""
    checked = b'"n":%d,"b":%d,%s%s}' % (number, batch, _RECORD, body)
    return b'%s%08x",%s\n' % (_HEAD, zlib.crc32(checked), checked)


def _parsed(line: bytes) -> tuple[int, int, bytes] | None:
    """Returns number, batch and record's body of a line; None if the line is not whole."""
    checked = line[_CHECKED_FROM:-1]
    if line[-1:] != b"\n" or line[:_CHECKED_FROM] != b'%s%08x",' % (_HEAD, zlib.crc32(checked)):
        return None
    numbers, _, body = checked.partition(_RECORD)
    fields = json.loads(b"{%s}" % numbers[:-1])
    return fields["n"], fields["b"], body[:-1]


def good_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yields for each good line the offset of its end, its number, and the body of its record."""
    end = 0
    with path.open("rb") as file:
        for expected, line in enumerate(file):
            parsed = _parsed(line)
            if parsed is None or parsed[0] != expected:
                _check_torn(path, expected, [line, *file])
                return
            end += len(line)
            yield end, expected, parsed[2]
    if end == 0:
        raise DataError(f"{path}:1: expected a journal's header, found an empty file")


def _check_torn(path: Path, expected: int, rest: Sequence[bytes]) -> None:
    later = any(parsed is not None and parsed[1] > expected for parsed in map(_parsed, rest))
    if later or expected == 0:
        raise DataError(f"{path}:{expected + 1}: expected record {expected} of a journal with its CRC, found damage")
