"""Compares the policy of a run before and after training, on the held-out questions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from memupdate.errors import DataError
from memupdate.evaluation.intervals import Interval, cluster_bootstrap
from memupdate.files import write_atomically

Row = Mapping[str, Any]  # one line of a trace

REWARD_PARTS = (
    "reward",
    "delta",
    "qa_before",
    "qa_after",
    "efficiency",
    "size_factor",
    "density_factor",
    "change_factor",
)
CATEGORY_NAMES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}


@dataclass(frozen=True)
class Comparison:
    """A metric before training, after training, and the paired difference, each with a 95 % interval."""

    before: Interval
    after: Interval
    difference: Interval


@dataclass(frozen=True)
class Count:
    """The number of rollouts before and after training."""

    before: int
    after: int


@dataclass(frozen=True)
class Pairing:
    """The rollouts of two validations, paired by key (question and rollout).

    Attributes:
        pairs: the rollouts that were scored both before and after, as (before, after).
        failed: the number of rollouts whose scoring failed.
        unpaired: the number of scored rollouts whose counterpart failed or left no trace.
    """

    pairs: list[tuple[Row, Row]]
    failed: Count
    unpaired: Count


@dataclass(frozen=True)
class Report:
    """The held-out comparison of a run.

    Attributes:
        steps: the policy's training steps before and after.
        n: the number of pairs of rollouts in the means.
        failed: the number of rollouts left out because their scoring failed.
        unpaired: the number of rollouts left out because their counterpart was not scored.
        conversations: the held-out conversations, which are the clusters of the intervals.
        figures: the metrics by name: reward parts first, then memory counts, turns, calls and errors per tool.
        categories: for each LoCoMo category, the number of pairs and the reward.
    """

    steps: tuple[int, int]
    n: int
    failed: Count
    unpaired: Count
    conversations: tuple[str, ...]
    figures: dict[str, Comparison]
    categories: dict[int, tuple[int, Comparison]]

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON values."""
        return {
            "steps": list(self.steps),
            "n": self.n,
            "failed": asdict(self.failed),
            "unpaired": asdict(self.unpaired),
            "conversations": list(self.conversations),
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "categories": {str(key): {"n": n, "reward": asdict(c)} for key, (n, c) in self.categories.items()},
        }


def read_validation(run_dir: Path) -> dict[int, list[dict[str, Any]]]:
    """Reads the validation trajectories of a run by the policy's training step.

    Raises:
        DataError: the run has fewer than two validations.
    """
    files = sorted((run_dir / "trace").glob("validation-*.jsonl"))
    if len(files) < 2:
        raise DataError(
            f"{run_dir}: {len(files)} validation traces; a comparison needs one before and one after training"
        )
    return {
        int(file.stem.rsplit("-", 1)[1]): [json.loads(line) for line in file.read_text().splitlines()] for file in files
    }


def pair(before: Sequence[Row], after: Sequence[Row]) -> Pairing:
    """Pairs the rollouts of two validations by key.

    A rollout whose scoring failed (``reward_error``) is not paired, because its reward parts are placeholders. A
    rollout that failed completely leaves no trace, so its counterpart stays unpaired.
    """
    olds, news = ({row["key"]: row for row in rows if not _failed(row)} for rows in (before, after))
    both = [key for key in olds if key in news]
    return Pairing(
        pairs=[(olds[key], news[key]) for key in both],
        failed=Count(sum(map(_failed, before)), sum(map(_failed, after))),
        unpaired=Count(len(olds) - len(both), len(news) - len(both)),
    )


def _failed(row: Row) -> bool:
    return bool(row["reward"].get("reward_error"))


def compare_pairs(pairs: Sequence[tuple[Row, Row]], field: str) -> Comparison:
    """Compares one field of the reward over pairs of rollouts.

    Args:
        pairs: at least one pair of trace rows, as (before, after).
        field: the name of a numeric field of ``reward``.
    """
    clusters = [old["sample_id"] for old, _ in pairs]
    olds = [float(old["reward"][field]) for old, _ in pairs]
    news = [float(new["reward"][field]) for _, new in pairs]
    return Comparison(
        before=cluster_bootstrap(olds, clusters),
        after=cluster_bootstrap(news, clusters),
        difference=cluster_bootstrap([new - old for old, new in zip(olds, news, strict=True)], clusters),
    )


def compare(run_dir: Path) -> Report:
    """Compares the first and the last validation of a run.

    Raises:
        DataError: the run has fewer than two validations, or no rollout was scored in both.
    """
    traces = read_validation(run_dir)
    first, last = min(traces), max(traces)
    paired = pair(traces[first], traces[last])
    pairs = paired.pairs
    if not pairs:
        raise DataError(f"{run_dir}: no held-out rollout was scored both at step {first} and at step {last}")
    by_category: dict[int, list[tuple[Row, Row]]] = defaultdict(list)
    for old, new in pairs:
        by_category[int(old["reward"]["category"])].append((old, new))
    return Report(
        steps=(first, last),
        n=len(pairs),
        failed=paired.failed,
        unpaired=paired.unpaired,
        conversations=tuple(sorted({old["sample_id"] for old, _ in pairs})),
        figures={name: compare_pairs(pairs, name) for name in _figures(pairs[0][0])},
        categories={key: (len(own), compare_pairs(own, "reward")) for key, own in sorted(by_category.items())},
    )


def _figures(row: Row) -> tuple[str, ...]:
    """Returns the names of the metrics: the reward's parts, then the other numbers of a rollout."""
    numbers = (name for name, value in row["reward"].items() if isinstance(value, (int, float)))
    return *REWARD_PARTS, *(name for name in numbers if name not in (*REWARD_PARTS, "category", "reward_error"))


def _interval(interval: Interval) -> str:
    return f"{interval.mean:8.4f} [{interval.low:8.4f}, {interval.high:8.4f}]"


def _left_out(report: Report) -> list[str]:
    """Returns a line about the rollouts that the means leave out, or no line if there are none."""
    counts = (("failed", report.failed), ("unpaired", report.unpaired))
    parts = [f"{name}: {count.before} before, {count.after} after" for name, count in counts if any(astuple(count))]
    return [f"left out, {'; '.join(parts)}"] if parts else []


def render(report: Report) -> str:
    """Returns the report as a table for a terminal."""
    width = max(len(name) for name in report.figures) + 2
    head = f"{'held-out':<{width}}{'before':>30}{'after':>30}{'difference':>30}"
    lines = [
        f"{report.n} rollouts, {len(report.conversations)} conversations ({', '.join(report.conversations)}); "
        f"policy of step {report.steps[0]} and of step {report.steps[1]}; mean [95 % interval]",
        *_left_out(report),
        "",
        head,
        "-" * len(head),
    ]

    def row(name: str, figure: Comparison) -> str:
        columns = (figure.before, figure.after, figure.difference)
        return f"{name:<{width}}" + "".join(f"{_interval(column):>30}" for column in columns)

    lines += [row(name, figure) for name, figure in report.figures.items()]
    lines += ["", f"{'reward by category':<{width}}"]
    for category, (n, figure) in report.categories.items():
        lines.append(row(f"{category} {CATEGORY_NAMES.get(category, '')} (n={n})", figure))
    return "\n".join(lines)


def write(report: Report, run_dir: Path) -> None:
    """Writes ``report.json`` and ``report.txt`` to the run's folder."""
    write_atomically(run_dir / "report.txt", render(report) + "\n")
    # Written last, because its existence marks the run as finished.
    write_atomically(run_dir / "report.json", json.dumps(report.to_json(), indent=1) + "\n")
