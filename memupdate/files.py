"""Atomic writes of files and folders, and the paths of the configs and lock files.

A file or folder is first written next to its final place and then moved there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from memupdate.errors import FieldError

# In a checkout, these are links to the folders configs/ and docker/ next to the packages. In a wheel, they are folders
# with the files.
CONFIGS = Path(__file__).resolve().parent / "configs"
LOCKS = Path(__file__).resolve().parent / "locks"


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to. When the block ends without an error, the file is moved to ``path``.

    The file is then on disk. A reader sees either the old or the new content, even after a crash.

    Raises:
        OSError: the file cannot be written. The old content stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, completely or not at all.

    Raises:
        OSError: the file cannot be written. The old content stays.
    """
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_output(path: Path, text: str) -> None:
    """Writes a text file to a path from the user. Creates the file's folder if it is missing.

    Raises:
        FieldError: the path cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise FieldError("output", str(path), f"a file that can be written ({error.strerror})") from error


def sync(path: Path) -> None:
    """Syncs a file's content, or a folder's list of files, to disk.

    Raises:
        OSError: the disk refused. What it had kept in memory may then be lost, and a second call would not tell so.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Creates a folder and its parents, as far as they are missing. They are then on disk.

    Raises:
        OSError: the folder cannot be created, or its path is a file.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync(path.parent)


@contextlib.contextmanager
def new_directory(path: Path, owned: Collection[str]) -> Iterator[Path]:
    """Yields a temporary directory to fill. When the block ends without an error, it is moved to ``path``.

    Args:
        path: the final path. An existing directory is replaced.
        owned: the names of all files and folders that the block may write. An existing directory with any other entry
            is not replaced.

    Raises:
        FieldError: ``path`` is a file, has other entries, or cannot be written.
    """
    allowed = "a directory that is new, empty, or holds only " + ", ".join(sorted(owned))
    try:
        if path.exists() and (not path.is_dir() or {entry.name for entry in path.iterdir()} - set(owned)):
            raise FieldError("output", str(path), allowed)
        # If the path is a link, the link stays and its target is replaced.
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.mkdir()
    except OSError as error:
        raise FieldError("output", str(path), f"a directory that can be written ({error.strerror})") from error
    try:
        yield temporary
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
