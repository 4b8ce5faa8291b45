"""The files in a journal's folder: which of them belong to the journal, and which one is in use.

A generation is a file ``{eight digits}.jsonl`` that begins with a journal's header. While it is being written, it is
called ``{eight digits}.new``. Every other file is somebody else's. It is never read as a journal, renamed or removed.

A compaction writes the records that are still needed to the next generation and then removes the one before. The header
of the new generation tells the number of its records, and the number, size and SHA-256 of the generation that it
replaces. At a start with two generations, the older one is removed only if all of this is true of the two files.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from memupdate.broker.journal_file import encoded, encoded_line, good_lines, write_all
from memupdate.broker.journal_header import Header, Replaced, header_of, is_begun
from memupdate.broker.journal_lock import is_lock
from memupdate.errors import DataError, FieldError
from memupdate.files import sync

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9]{8}")
_LAST = 10**8 - 1
# A file system that is made in a folder of its own leaves this one in it.
_HARMLESS = {"lost+found"}
_ALLOWED = "a folder that is new or empty, or one with a journal"


def check_is_bank(folder: Path) -> None:
    """Checks, without writing anything, that a journal may be in this folder.

    It may if the folder is empty or holds a generation. A folder with only somebody else's files is not a bank.

    Raises:
        FieldError: the folder holds files, and none of them is a journal's.
        DataError: a file of a generation's name is damaged, of a later format, or no journal.
        OSError: the folder cannot be read.
    """
    others: list[Path] = []
    for path in sorted(folder.iterdir()):
        try:
            if _is_generation(path):
                return
            if not _is_harmless(path):
                path.lstat()
                others.append(path)
        except FileNotFoundError:
            return  # a journal's process has just removed the file, so a journal is here
    for path in others:
        if _named(path, ".jsonl"):
            raise DataError(f"{path}:1: expected a journal's header, found something else; allowed: {_ALLOWED}")
    if others:
        raise FieldError("journal_dir", str(folder), f"{_ALLOWED}; this one holds {others[0].name!r} and no journal")


def _is_harmless(path: Path) -> bool:
    return path.name in _HARMLESS or is_lock(path) or _is_unfinished(path, replaced=0)


def _named(path: Path, suffix: str) -> bool:
    return path.suffix == suffix and _NAME.fullmatch(path.stem) is not None


def _is_generation(path: Path) -> bool:
    return _named(path, ".jsonl") and path.is_file() and header_of(path) is not None


def _is_unfinished(path: Path, replaced: int | None = None) -> bool:
    """Returns whether a file is a generation that was not finished, so that no record is only there.

    Args:
        path: the file.
        replaced: the number of the generation that it must have been going to replace; None for any.
    """
    if not _named(path, ".new") or not path.is_file():
        return False
    if is_begun(path):
        return True
    try:
        header = header_of(path)
        lines, _ = _extent(path)
    except DataError:
        return False
    if header is None or lines > header.records + 1:
        return False  # it has been in use: somebody renamed it
    return header.after is None or replaced in (None, header.after.generation)


def generations(folder: Path) -> list[Path]:
    """Returns the generations in a folder, from old to new.

    Raises:
        DataError: a file with a generation's name is damaged or of a later format. Nobody can tell which one is the
            newest.
    """
    return [path for path in sorted(folder.iterdir()) if _is_generation(path)]


def current_generation(folder: Path) -> tuple[Path, list[Path]]:
    """Finds the generation in use, and writes the first one if there is none. Removes nothing.

    Returns:
        The generation, and older ones that it has been proven to replace.

    Raises:
        DataError: there are several, and it cannot be proven that the newest one replaces the others.
        OSError: the folder cannot be read or written.
    """
    *older, newest = generations(folder) or [_first_generation(folder)]
    for one in older:
        check_replaces(newest, one)
    return newest, older


def _first_generation(folder: Path) -> Path:
    first = next_path(folder, 0)
    os.close(write_generation(first, Header(), ())[0])
    publish(first)
    return first


def unfinished(folder: Path, current: Path) -> list[Path]:
    """Returns what is left of generations that were going to replace the current one, and were not finished."""
    return [path for path in sorted(folder.iterdir()) if _is_unfinished(path, replaced=int(current.stem))]


def own_files(folder: Path) -> list[Path]:
    """Returns all files of the journal in a folder: unfinished generations, and generations from old to new."""
    return [path for path in sorted(folder.iterdir()) if _is_unfinished(path)] + generations(folder)


def next_path(folder: Path, number: int) -> Path:
    """Returns the path of the next generation after this number. There is no file of this name yet, finished or not.

    Raises:
        FileExistsError: all names are taken.
    """
    for free in range(number + 1, _LAST + 1):
        path = folder / f"{free:08d}.jsonl"
        if not os.path.lexists(path) and not os.path.lexists(path.with_suffix(".new")):
            return path
    raise FileExistsError(f"no name is left in {folder}")


def sha256_of(path: Path, size: int) -> str:
    """Returns the SHA-256 of the first ``size`` bytes of a file, in hex."""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while part := file.read(min(left, 2**20)):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def check_replaces(newer: Path, older: Path) -> None:
    """Checks that a generation is complete and was made from exactly what is in the older one.

    Raises:
        DataError: one of them is damaged, or they do not belong together. Nobody can tell then which one counts.
    """
    header = header_of(newer)
    lines, _ = _extent(newer)
    if header is not None and header.after is not None and lines > header.records:
        _, size = _extent(older)
        if header.after == Replaced(int(older.stem), size, sha256_of(older, size)):
            return
    raise DataError(
        f"{newer}: expected a generation that was made from {older.name}, found another one; allowed: one generation, "
        "or two of which the newer replaces the older; move away the file that does not belong here"
    )


def write_generation(path: Path, header: Header, bodies: Iterable[bytes]) -> tuple[int, int, int]:
    """Writes a generation under its name as unfinished, and reads it back.

    Returns:
        A descriptor with which the file can be appended to, the number of lines with the header, and the number of
        bytes. The file is on disk.

    Raises:
        OSError: the file cannot be written. It is removed again.
        DataError: what is read back is not what was written. It is removed again.
    """
    new = path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
    try:
        number, size = 0, 0
        for body in (encoded(header.to_json()), *bodies):
            line = encoded_line(number, number, body)
            write_all(file, line)
            number, size = number + 1, size + len(line)
        os.fsync(file)
        _check_written(new, header, number, size)
    except BaseException:
        os.close(file)
        remove(new)  # frees its space on a full disk
        raise
    return file, number, size


def _check_written(new: Path, header: Header, lines: int, size: int) -> None:
    found = _extent(new)
    if (*found, new.stat().st_size, header_of(new)) != (lines, size, size, header):
        raise DataError(f"{new}: expected {lines} lines of {size} bytes, as written, found {found[0]} of {found[1]}")


def _extent(path: Path) -> tuple[int, int]:
    """Reads a whole generation. Returns the number of its good lines, and their bytes."""
    lines = size = 0
    for size, number, _ in good_lines(path):  # noqa: B007  the last line's end is the size
        lines = number + 1
    return lines, size


def publish(path: Path) -> None:
    """Gives a generation that was written its final name.

    Raises:
        OSError: it may have its final name, its name before, or both after a crash. ``withdraw`` removes it.
    """
    path.with_suffix(".new").rename(path)
    sync(path.parent)


def withdraw(path: Path) -> None:
    """Removes a generation that was written and whose publishing failed, under whichever name.

    Raises:
        OSError: it may still be there.
    """
    path.with_suffix(".new").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    sync(path.parent)


def remove(path: Path) -> bool:
    """Removes a file that is not needed any more. Returns whether that worked; the log says why not."""
    try:
        path.unlink(missing_ok=True)
        sync(path.parent)
    except OSError:
        logger.warning("%s could not be removed; it is not needed any more", path, exc_info=True)
        return False
    return True
