"""The journal folder of each shard of a broker."""

from __future__ import annotations

import re
from pathlib import Path

from memupdate.broker.journal import erase
from memupdate.errors import FieldError

MAX_SHARDS = 1024
_NAME = re.compile(r"shard-[0-9]+-of-[0-9]+")


def journal_folders(journal_dir: object, shards: object) -> list[Path | None]:
    """Returns the journal folder of each shard, or None for each shard if there is no journal.

    Args:
        journal_dir: the broker's journal directory; None for no journal.
        shards: the number of shards.

    Raises:
        FieldError: ``journal_dir`` is not a path, or ``shards`` is not an integer from 1 to ``MAX_SHARDS``.
    """
    if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= MAX_SHARDS:
        raise FieldError("memory.broker_shards", shards, f"a whole number from 1 to {MAX_SHARDS}")
    if journal_dir is None:
        return [None] * shards
    if not isinstance(journal_dir, str) or not journal_dir:
        raise FieldError("memory.journal_dir", journal_dir, "null, or a directory's path")
    folder = Path(journal_dir).absolute()
    return [folder / f"shard-{shard}-of-{shards}" for shard in range(shards)]


def check_layout(folders: list[Path | None]) -> None:
    """Checks that the journal, if there is one, was written with the same number of shards.

    Raises:
        FieldError: the number of shards was different, so most namespaces would not be found.
    """
    for folder in folders[:1]:
        other = [] if folder is None else [path for path in _written(folder.parent) if path not in folders]
        if other:
            shards = other[0].name.rpartition("-")[2]
            allowed = f"{shards}, with which {other[0].parent} was written, or another memory.journal_dir"
            raise FieldError("memory.broker_shards", len(folders), allowed)


def erase_all(journal_dir: Path) -> None:
    """Removes the journals of all shards, for any number of shards. A folder stays if it holds files of others.

    Raises:
        DataError: as for ``erase``.
        JournalError: a journal cannot be removed, or a process holds it.
    """
    for folder in _written(journal_dir):
        erase(folder)
        if not any(folder.iterdir()):
            folder.rmdir()


def _written(journal_dir: Path) -> list[Path]:
    return sorted(path for path in journal_dir.glob("shard-*-of-*") if _NAME.fullmatch(path.name) and path.is_dir())
