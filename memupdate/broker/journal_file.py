"""The file format of a journal: lines, torn writes, and generations.

A journal is a folder with one file ``{generation}.jsonl``. A line is
``{"crc":"…","n":number,"b":batch,"record":{…}}``. ``crc`` is the CRC-32 of the rest of the line. ``n`` is the record's
number, counted from 0 without gaps. ``b`` is the number of the first record in the same batch. These fields
distinguish a write torn by a crash, which was never acknowledged, from damage to acknowledged records:

- A bad line is torn if only lines of its own batch follow it. The file is cut there.
- A bad line is damaged if a later batch follows it. This is an error, and no earlier record is dropped.
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
    """The journal cannot be written. The change was not applied.

    Attributes:
        path: the file or folder.
        problem: the reason that the operating system gave.
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
    """Locks a file and returns the descriptor that holds the lock until it is closed or the process ends.

    Args:
        path: the lock file; created if it is missing.
        wait_s: seconds to wait for another process to release the lock.

    Raises:
        JournalError: another process still holds the lock.
        OSError: the file cannot be opened or locked.
    """
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
    """Returns the file of the newest generation. Creates one if there is none. Removes leftovers of a compaction."""
    for unfinished in folder.glob("*.new"):
        unfinished.unlink()
    generations = sorted(folder.glob("*.jsonl"))
    if not generations:
        first = folder / f"{1:08d}.jsonl"
        write_generation(first, [])
        return first
    for old in generations[:-1]:  # a file gets its final name only when it is complete
        old.unlink()
    return generations[-1]


def write_generation(path: Path, bodies: Iterable[bytes]) -> tuple[int, int]:
    """Writes a file with a header and these records, completely or not at all.

    Returns:
        The number of lines, including the header, and the number of bytes.
    """
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
        unfinished.unlink()  # frees its space on a full disk
        raise
    finally:
        os.close(file)
    unfinished.rename(path)
    sync_folder(path.parent)
    return number, size


def write_all(file: int, data: bytes) -> None:
    """Writes all of ``data``, in as many system calls as needed."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def sync_folder(folder: Path) -> None:
    """Syncs the folder's list of files to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encoded(record: Record) -> bytes:
    """Returns the record as JSON bytes, which are the body of a line."""
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode()


def encoded_line(number: int, batch: int, body: bytes) -> bytes:
    """Returns a complete line with its CRC."""
    checked = b'"n":%d,"b":%d,%s%s}' % (number, batch, _RECORD, body)
    return b'%s%08x",%s\n' % (_HEAD, zlib.crc32(checked), checked)


def _parsed(line: bytes) -> tuple[int, int, bytes] | None:
    """Returns the number, the batch and the record's body of a line; None if the line is incomplete or damaged."""
    checked = line[_CHECKED_FROM:-1]
    if line[-1:] != b"\n" or line[:_CHECKED_FROM] != b'%s%08x",' % (_HEAD, zlib.crc32(checked)):
        return None
    numbers, _, body = checked.partition(_RECORD)
    fields = json.loads(b"{%s}" % numbers[:-1])
    return fields["n"], fields["b"], body[:-1]


def good_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yields the end offset, the number and the record's body of each good line. Stops at a torn line.

    Raises:
        DataError: a line is damaged, or the file is empty.
    """
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
