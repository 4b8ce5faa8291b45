"""Metrics on disk: one JSON line per step, appended, and cut back to the checkpoint that a run resumes from."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memupdate.files import write_atomically

# verl's file logger opens with "wb": a resumed run would lose what it logged. Ours appends.


class MetricsFile:
    """``metrics.jsonl`` of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def resume_from(self, step: int) -> None:
        """Drops lines of steps after ``step`` (they will be run again) and a last line that was cut off."""
        if not self.path.is_file():
            return
        kept = [json.dumps(line) + "\n" for line in self.read() if line["step"] <= step]
        write_atomically(self.path, "".join(kept))

    def append(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends one line; values are made plain floats, ``nan`` becomes null."""
        plain = {name: _plain(value) for name, value in metrics.items()}
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **plain}) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All whole lines."""
        lines = []
        for text in self.path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break  # the line that a kill cut off; nothing can follow it
        return lines


def _plain(value: Any) -> Any:
    if isinstance(value, (str, bool)) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def means(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Mean of every numeric field over rows; rows without a field (or with None) do not count for it."""
    columns: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if isinstance(value, (int, float)):
                columns[name].append(float(value))
    return {name: math.fsum(values) / len(values) for name, values in columns.items()}


CATEGORY_FIELDS = ("reward", "delta", "qa_before", "qa_after")


def by_category(rows: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, float]:
    """Per LoCoMo category: how many rows, and the means of reward, delta and QA before and after."""
    groups: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[int(row["category"])].append(row)
    result: dict[str, float] = {}
    for category, members in sorted(groups.items()):
        result[f"{prefix}/category_{category}/n"] = float(len(members))
        averaged = means({name: row[name] for name in CATEGORY_FIELDS} for row in members)
        result |= {f"{prefix}/category_{category}/{name}": value for name, value in averaged.items()}
    return result
