"""Parquet files of rows, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memupdate.errors import DataError


def write_table(path: Path, rows: Sequence[Any], schema: pa.Schema) -> None:
    """Writes dataclasses as rows, a column for each field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    pq.write_table(pa.Table.from_pylist([vars(row) for row in rows], schema=schema), partial)
    partial.replace(path)


def read_table(path: Path, schema: pa.Schema, what: str) -> list[dict[str, Any]]:
    """Reads what :func:`write_table` wrote.

    Raises:
        DataError: no such file, or other columns; ``what`` is what the message asks for.
    """
    try:
        table = pq.read_table(path, schema=schema)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected {what}: {error}") from error
    return table.to_pylist()
