"""Parquet files of dataclass instances: a file per table, a column per field. Files are written atomically."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from memupdate.errors import DataError
from memupdate.files import new_file

Row = TypeVar("Row")


@dataclass(frozen=True)
class RowFiles(Generic[Row]):
    """How rows of one kind are written to parquet files and read from them.

    Attributes:
        row: the dataclass of a row.
        schema: the columns, one for each field of the dataclass.
        what: description of the rows, for error messages.
    """

    row: type[Row]
    schema: pa.Schema
    what: str

    def write(self, path: Path, rows: Sequence[Row]) -> None:
        """Writes rows to a file, atomically. Creates the file's folder if it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as partial:
            pq.write_table(pa.Table.from_pylist([vars(row) for row in rows], schema=self.schema), partial)

    def read(self, path: Path) -> list[Row]:
        """Reads a file that :meth:`write` wrote.

        Raises:
            DataError: the file cannot be read, or it has other columns.
        """
        try:
            table = pq.read_table(path, schema=self.schema)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: expected {self.what}: {error}") from error
        return [self.row(**row) for row in table.to_pylist()]
