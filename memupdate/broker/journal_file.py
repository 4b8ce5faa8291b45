"""The file format of a journal: lines, and writes that a crash tore.

A line is ``{"crc":"…","n":number,"b":batch,"record":{…}}``. ``crc`` is the CRC-32 of the rest of the line. ``n`` is
the record's number, counted from 0 without gaps; record 0 is the header. ``b`` is the number of the first record in the
same batch. These fields distinguish a write torn by a crash, which was never acknowledged, from damage to acknowledged
records:

- A bad line is torn if only lines of its own batch follow it. The file is cut there.
- A bad line is damaged if a later batch follows it. This is an error, and no earlier record is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from memupdate.errors import DataError, MemupdateError

Record = Mapping[str, Any]

LINE_BEGINS = b'{"crc":"'
_CHECKED_FROM = len(LINE_BEGINS) + 8 + len(b'",')  # the CRC is eight hex digits
_RECORD = b'"record":'
_NUMBERS = re.compile(rb'"n":(\d+),"b":(\d+),"record":')


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


class UncertainWriteError(JournalError):
    """A write failed, and what reached the file could not be removed again. The record may be read at the next start.

    The next successful write removes it.
    """

    def __str__(self) -> str:
        return (
            f"journal_dir: cannot write {self.path}: {self.problem}; this change is not in the bank, but it may come "
            "back if the broker ends before its next successful write; allowed: a directory of this process alone, "
            "writable, on a disk with room"
        )


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Raises a ``JournalError`` about this file or folder if the operating system refuses something in the block."""
    try:
        yield
    except OSError as error:
        raise JournalError(str(path), error.strerror or str(error)) from error


def write_all(file: int, data: bytes) -> None:
    """Writes all of ``data``, in as many system calls as needed.

    Raises:
        OSError: the system refused a part, or took nothing.
    """
    rest = memoryview(data)
    while rest:
        written = os.write(file, rest)
        if not written:
            raise OSError(errno.EIO, "the system wrote nothing")
        rest = rest[written:]


def encoded(record: Record) -> bytes:
    """Returns the record as JSON bytes, which are the body of a line."""
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode()


def encoded_line(number: int, batch: int, body: bytes) -> bytes:
    """Returns a complete line with its CRC."""
    checked = b'"n":%d,"b":%d,%s%s}' % (number, batch, _RECORD, body)
    return b'%s%08x",%s\n' % (LINE_BEGINS, zlib.crc32(checked), checked)


def parsed_line(line: bytes) -> tuple[int, int, bytes] | None:
    """Returns the number, the batch and the record's body of a line; None if the line is incomplete or damaged."""
    checked = line[_CHECKED_FROM:-1]
    if line[-1:] != b"\n" or line[:_CHECKED_FROM] != b'%s%08x",' % (LINE_BEGINS, zlib.crc32(checked)):
        return None
    fields = _NUMBERS.match(checked)
    return None if fields is None else (int(fields[1]), int(fields[2]), checked[fields.end() : -1])


def good_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yields the end offset, the number and the record's body of each good line. Stops at a torn line.

    Raises:
        DataError: a line is damaged, or the file is empty.
    """
    end = 0
    with path.open("rb") as file:
        for expected, line in enumerate(file):
            parsed = parsed_line(line)
            if parsed is None or parsed[0] != expected:
                _check_torn(path, expected, [line, *file])
                return
            end += len(line)
            yield end, expected, parsed[2]
    if end == 0:
        raise DataError(f"{path}:1: expected a journal's header, found an empty file")


def _check_torn(path: Path, expected: int, rest: Sequence[bytes]) -> None:
    later = any(parsed is not None and parsed[1] > expected for parsed in map(parsed_line, rest))
    if later or expected == 0:
        raise DataError(f"{path}:{expected + 1}: expected record {expected} of a journal with its CRC, found damage")
