"""Writes files and folders whole or not at all, and says where the configs are.

A file or folder is first written beside its place and then moved there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from memupdate.errors import FieldError

# In a checkout a link to the configs folder beside the packages, where users look; in a wheel the files themselves.
CONFIGS = Path(__file__).resolve().parent / "configs"


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yields a path to write. It is moved to ``path``, and is on disk, when the block ends without an error.

    A reader sees the old content or the new content, and so does a restart after a crash.

    Raises:
        OSError: the file cannot be written. The old content stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    Raises:
        OSError: the file cannot be written. The old content stays.
    """
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_output(path: Path, text: str) -> None:
    """Writes a text file that a user named. Its folder is made if there is none.

    Raises:
        FieldError: the path cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise FieldError("output", str(path), f"a file that can be written ({error.strerror})") from error


def _sync(path: Path) -> None:
    """Makes sure that a file's content, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_directory(path: Path, owned: Collection[str]) -> Iterator[Path]:
    """Yields a directory to fill. It is moved to ``path`` when the block ends without an error.

    Args:
        path: the directory's place. A directory that stands there is replaced.
        owned: the names of what the block writes. A directory that holds anything else is not ours and is not
            replaced.

    Raises:
        FieldError: ``path`` is a file, holds other things, or cannot be written.
    """
    allowed = "a directory that is new, empty, or holds only " + ", ".join(sorted(owned))
    try:
        if path.exists() and (not path.is_dir() or {entry.name for entry in path.iterdir()} - set(owned)):
            raise FieldError("output", str(path), allowed)
        # resolve(): a link stays a link, and what it points to is replaced.
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
