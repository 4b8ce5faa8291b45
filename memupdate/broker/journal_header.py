"""The header of a generation, which is its first line, and by which a journal's own files are known."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memupdate.broker.journal_file import LINE_BEGINS, parsed_line
from memupdate.errors import DataError

FORMAT = 1
_LONGEST = 4096
_REST = b'","n":0,"b":0,"record":{"format":%d' % FORMAT  # what follows the CRC


@dataclass(frozen=True)
class Replaced:
    """The generation that another one replaces: its number, its size in bytes, and the SHA-256 of these bytes."""

    generation: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Header:
    """The header of a generation.

    Attributes:
        records: the number of records with which the generation was written. Later ones were appended.
        after: the generation that it replaces; None for the first.
    """

    records: int = 0
    after: Replaced | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the header as the record 0 of a file."""
        if self.after is None:
            return {"format": FORMAT}
        return {"format": FORMAT, "records": self.records, "after": vars(self.after)}


def header_of(path: Path) -> Header | None:
    """Returns the header of a generation; None if the file is somebody else's.

    Raises:
        DataError: the file is empty, or its header is damaged or of a later format.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        line = file.readline(_LONGEST)
    parsed = parsed_line(line)
    if parsed is not None:
        return _header(path, parsed[0], json.loads(parsed[2]))
    # Blocks that never reached the disk are read as zeros.
    if line[:1] in (b"", b"\0") or line[: len(LINE_BEGINS)] == LINE_BEGINS[: len(line)]:
        raise DataError(
            f"{path}:1: expected a journal's header, found {'an empty file' if not line else 'damage'}; "
            "allowed: a whole file, or none of this name"
        )
    return None


def _header(path: Path, number: int, told: Any) -> Header:
    match told:
        case {"format": int(version)} if number == 0 and version > FORMAT:
            raise DataError(
                f"{path}:1: this journal has format {version}, of a later version of memupdate; allowed: {FORMAT}"
            )
        case {"format": 1, "records": int(records), "after": {**after}} if number == 0:
            match after:
                case {"generation": int(generation), "bytes": int(size), "sha256": str(digest)}:
                    return Header(records, Replaced(generation, size, digest))
        case {"format": 1, **rest} if number == 0 and not rest:
            return Header()
    raise DataError(f"{path}:1: expected a journal's header, found record {number}: {str(told)[:200]}")


def is_begun(path: Path) -> bool:
    """Returns whether a file is empty or a part of a header, and so holds no record.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        part = file.read(_LONGEST)
    crc = part[len(LINE_BEGINS) :][:8]
    rest = part[len(LINE_BEGINS) + 8 :][: len(_REST)]
    return (
        len(part) < _LONGEST
        and b"\n" not in part
        and LINE_BEGINS.startswith(part[: len(LINE_BEGINS)])
        and all(digit in b"0123456789abcdef" for digit in crc)
        and _REST.startswith(rest)
    )
