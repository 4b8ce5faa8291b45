"""Reads and writes rows as parquet files. Files are written atomically."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memupdate.errors import DataError
from memupdate.files import new_file


def write_table(path: Path, rows: Sequence[Any], schema: pa.Schema) -> None:
    """Writes dataclass instances as rows of a parquet file, with one column per field, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as partial:
        pq.write_table(pa.Table.from_pylist([vars(row) for row in rows], schema=schema), partial)


def read_table(path: Path, schema: pa.Schema, what: str) -> list[dict[str, Any]]:
    """Reads a file that :func:`write_table` wrote.

    Args:
        path: the file.
        schema: the columns that the file must have.
        what: description of the rows, for the error message.

    Raises:
        DataError: the file cannot be read, or it has other columns.
    """
    try:
        table = pq.read_table(path, schema=schema)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected {what}: {error}") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
