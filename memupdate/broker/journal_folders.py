"""Where each shard of a broker keeps its journal."""

from __future__ import annotations

from pathlib import Path

from memupdate.errors import FieldError

MAX_SHARDS = 1024


def journal_folders(journal_dir: object, shards: object) -> list[Path | None]:
    """The journal's folder of each shard; None for each where there is no journal.

    Args:
        journal_dir: the broker's, or None.
        shards: how many.

    Raises:
        FieldError: not a path, not a number of shards, or not the number with which the journal was written.
    """
    if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= MAX_SHARDS:
        raise FieldError("memory.broker_shards", shards, f"a whole number from 1 to {MAX_SHARDS}")
    if journal_dir is None:
        return [None] * shards
    if not isinstance(journal_dir, str) or not journal_dir:
        raise FieldError("memory.journal_dir", journal_dir, "null, or a directory's path")
    folder = Path(journal_dir).absolute()
    written = {int(path.name.rpartition("-")[2]) for path in folder.glob("shard-*-of-*")}
    if written - {shards}:
        allowed = f"{min(written)}, with which the journal in {folder} was written, or another memory.journal_dir"
        raise FieldError("memory.broker_shards", shards, allowed)
    return [folder / f"shard-{shard}-of-{shards}" for shard in range(shards)]
