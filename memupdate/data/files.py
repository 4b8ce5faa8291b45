"""Writing outputs whole or not at all: beside their place first, then moved."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from memupdate.errors import FieldError


def write_file(path: Path, text: str) -> None:
    """Write a text file; a reader sees the old content or the new one.

    Raises:
        FieldError: if the path cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FieldError("output", str(path), f"a file that can be written ({error.strerror})") from error


@contextlib.contextmanager
def new_directory(path: Path, owned: Collection[str]) -> Iterator[Path]:
    """A directory to fill, which takes the place of ``path`` when the block ends without an error.

    Args:
        path: where the directory is to stand. What stood there is replaced.
        owned: the names of what the block writes. A directory that holds anything else is not replaced: it is not ours.

    Raises:
        FieldError: if ``path`` is a file, holds other things, or cannot be written.
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
