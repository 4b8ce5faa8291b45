"""Metrics on disk as appended JSON lines. A resumed run drops the lines after its checkpoint."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from memupdate.files import write_atomically

# verl's file logger truncates its file at the start, so a resumed run would lose its earlier metrics. This one appends.


class MetricsFile:
    """The file ``metrics.jsonl`` of a run. It has one line per training step and one per validation."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def resume_from(self, step: int) -> None:
        """Drops the lines of steps after ``step``, which will run again, and an incomplete last line."""
        if not self.path.is_file():
            return
        kept = [json.dumps(line) + "\n" for line in self.read() if line["step"] <= step]
        write_atomically(self.path, "".join(kept))

    def append(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends one line. Numbers are written as floats, NaN and infinities as null, counts as objects."""
        plain = {name: _plain(value) for name, value in metrics.items()}
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **plain}) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """Returns all complete lines."""
        lines = []
        for text in self.path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break  # an incomplete last line of a killed run
        return lines


def _plain(value: Any) -> Any:
    if isinstance(value, (str, bool)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(count) for name, count in value.items()}
    number = float(value)
    return number if math.isfinite(number) else None


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the mean of every numeric field over the rows that have a number in it."""
    columns: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if isinstance(value, (int, float)):
                columns[name].append(float(value))
    return {name: math.fsum(values) / len(values) for name, values in columns.items()}
