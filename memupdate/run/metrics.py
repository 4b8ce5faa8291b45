"""Validation metrics by LoCoMo category."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from memupdate.platform.metrics import means

CATEGORY_FIELDS = ("reward", "delta", "qa_before", "qa_after")


def by_category(rows: Sequence[Mapping[str, float]], prefix: str) -> dict[str, float]:
    """Returns, for each LoCoMo category, the number of rows and the means of reward, delta and QA before and after.

    Args:
        rows: the reward parts and the category of each rollout.
        prefix: the prefix of the metrics' names.
    """
    groups: dict[int, list[Mapping[str, float]]] = defaultdict(list)
    for row in rows:
        groups[int(row["category"])].append(row)
    result: dict[str, float] = {}
    for category, members in sorted(groups.items()):
        result[f"{prefix}/category_{category}/n"] = float(len(members))
        averaged = means({name: row[name] for name in CATEGORY_FIELDS} for row in members)
        result |= {f"{prefix}/category_{category}/{name}": value for name, value in averaged.items()}
    return result
