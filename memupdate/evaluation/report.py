"""Before and after: what a run did to the policy on the held-out questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memupdate.errors import DataError
from memupdate.evaluation.intervals import Interval, cluster_bootstrap

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
    """One figure before training, after training, and the paired difference, each with a 95 % interval."""

    before: Interval
    after: Interval
    difference: Interval


@dataclass(frozen=True)
class Report:
    """Held-out comparison of a run.

    Attributes:
        steps: the policy's step before and after.
        n: rollouts compared (questions times rollouts per question).
        conversations: held-out conversations; the intervals' clusters.
        figures: by name, reward parts first, then memory counts, turns, calls and errors per tool.
        categories: the reward per LoCoMo category, with the number of rollouts.
    """

    steps: tuple[int, int]
    n: int
    conversations: tuple[str, ...]
    figures: dict[str, Comparison]
    categories: dict[int, tuple[int, Comparison]]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able copy."""
        return {
            "steps": list(self.steps),
            "n": self.n,
            "conversations": list(self.conversations),
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "categories": {str(key): {"n": n, "reward": asdict(c)} for key, (n, c) in self.categories.items()},
        }


def read_validation(run_dir: Path) -> dict[int, list[dict[str, Any]]]:
    """Validation trajectories of a run, by step.

    Raises:
        DataError: the run has not validated twice.
    """
    files = sorted((run_dir / "trace").glob("validation-*.jsonl"))
    if len(files) < 2:
        raise DataError(
            f"{run_dir}: {len(files)} validation traces; a comparison needs one before and one after training"
        )
    return {
        int(file.stem.rsplit("-", 1)[1]): [json.loads(line) for line in file.read_text().splitlines()] for file in files
    }


def compare_rows(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], field: str) -> Comparison:
    """Compares one reward field over trajectories paired by key (question and rollout)."""
    later = {row["key"]: row for row in after}
    pairs = [(row, later[row["key"]]) for row in before if row["key"] in later]
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
        DataError: the run has not validated twice.
    """
    traces = read_validation(run_dir)
    first, last = min(traces), max(traces)
    before, after = traces[first], traces[last]
    numeric = [name for name, value in before[0]["reward"].items() if isinstance(value, (int, float))]
    others = [name for name in numeric if name not in REWARD_PARTS and name != "category"]
    categories: dict[int, tuple[int, Comparison]] = {}
    for category in sorted({int(row["reward"]["category"]) for row in before}):
        old, new = ([row for row in rows if int(row["reward"]["category"]) == category] for rows in (before, after))
        categories[category] = len(old), compare_rows(old, new, "reward")
    return Report(
        steps=(first, last),
        n=len(before),
        conversations=tuple(sorted({row["sample_id"] for row in before})),
        figures={name: compare_rows(before, after, name) for name in (*REWARD_PARTS, *others)},
        categories=categories,
    )


def _interval(interval: Interval) -> str:
    return f"{interval.mean:8.4f} [{interval.low:8.4f}, {interval.high:8.4f}]"


def render(report: Report) -> str:
    """The report as a table for a terminal."""
    width = max(len(name) for name in report.figures) + 2
    head = f"{'held-out':<{width}}{'before':>30}{'after':>30}{'difference':>30}"
    lines = [
        f"{report.n} rollouts, {len(report.conversations)} conversations ({', '.join(report.conversations)}); "
        f"policy of step {report.steps[0]} and of step {report.steps[1]}; mean [95 % interval]",
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
    """Writes ``report.json`` and ``report.txt`` into the run's folder."""
    (run_dir / "report.json").write_text(json.dumps(report.to_json(), indent=1) + "\n")
    (run_dir / "report.txt").write_text(render(report) + "\n")
