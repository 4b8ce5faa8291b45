"""Compares the policy of a run before and after training, on the held-out questions."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from memupdate.evaluation.comparison import Comparison, Count, Row, compare_pairs, pair_ends
from memupdate.evaluation.intervals import Interval
from memupdate.files import write_atomically

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
# Category 0 is that of session episodes, which have no question. The others are LoCoMo's.
CATEGORY_NAMES = {
    0: "session",
    1: "multi-hop",
    2: "temporal",
    3: "open-domain",
    4: "single-hop",
    5: "adversarial",
}


@dataclass(frozen=True)
class Report:
    """The held-out comparison of a run.

    Attributes:
        steps: the policy's training steps before and after.
        n: the number of pairs of rollouts in the means.
        failed: the number of rollouts left out because their scoring failed.
        unpaired: the number of rollouts left out because their counterpart was not scored.
        conversations: the held-out conversations with a pair. They are the clusters of the intervals.
        figures: the metrics by name: reward parts first, then memory counts, turns, calls and errors per tool.
        categories: for each category (0 is that of session episodes), the number of pairs and the reward.
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


def compare(run_dir: Path) -> Report:
    """Compares the first and the last validation of a run.

    Raises:
        DataError: the run has fewer than two validations, or no rollout was scored in both.
    """
    steps, paired = pair_ends(run_dir)
    pairs = paired.pairs
    by_category: dict[int, list[tuple[Row, Row]]] = defaultdict(list)
    for old, new in pairs:
        by_category[int(old["reward"]["category"])].append((old, new))
    return Report(
        steps=steps,
        n=len(pairs),
        failed=paired.failed,
        unpaired=paired.unpaired,
        conversations=tuple(sorted({old["sample_id"] for old, _ in pairs})),
        figures={name: compare_pairs([pairs], name) for name in _figures(pairs[0][0])},
        categories={key: (len(own), compare_pairs([own], "reward")) for key, own in sorted(by_category.items())},
    )


def _figures(row: Row) -> tuple[str, ...]:
    """Returns the names of the metrics: the reward's parts, then the other numbers of a rollout."""
    numbers = (name for name, value in row["reward"].items() if isinstance(value, (int, float)))
    return *REWARD_PARTS, *(name for name in numbers if name not in (*REWARD_PARTS, "category", "reward_error"))


def _interval(interval: Interval) -> str:
    bounds = "no interval" if interval.low is None else f"[{interval.low:8.4f}, {interval.high:8.4f}]"
    return f"{interval.mean:8.4f} {bounds:>20}"


def _methods(report: Report) -> str:
    """Returns the methods of all intervals in the report, each once."""
    comparisons = [*report.figures.values(), *(comparison for _, comparison in report.categories.values())]
    return "; ".join(sorted({figure.difference.method for figure in comparisons}))


def _left_out(report: Report) -> list[str]:
    """Returns a line about the rollouts that the means leave out, or no line if there are none."""
    counts = (("failed", report.failed), ("unpaired", report.unpaired))
    parts = [f"{name}: {count.before} before, {count.after} after" for name, count in counts if any(astuple(count))]
    return [f"left out, {'; '.join(parts)}"] if parts else []


def render(report: Report) -> str:
    """Returns the report as a table for a terminal."""
    by_category = {
        f"{category} {CATEGORY_NAMES.get(category, '')} (n={n})": figure
        for category, (n, figure) in report.categories.items()
    }
    width = max(map(len, [*report.figures, *by_category])) + 2
    head = f"{'held-out':<{width}}{'conversations':>13}{'before':>30}{'after':>30}{'difference':>30}"

    def row(name: str, figure: Comparison) -> str:
        columns = (figure.before, figure.after, figure.difference)
        return f"{name:<{width}}{figure.difference.clusters:>13}" + "".join(f"{_interval(one):>30}" for one in columns)

    return "\n".join(
        [
            f"{report.n} rollouts, {len(report.conversations)} conversations ({', '.join(report.conversations)}); "
            f"policy of step {report.steps[0]} and of step {report.steps[1]}",
            f"mean over conversations [95 % interval], one training run; {_methods(report)}",
            *_left_out(report),
            "",
            head,
            "-" * len(head),
            *(row(name, figure) for name, figure in report.figures.items()),
            "",
            "reward by category",
            *(row(name, figure) for name, figure in by_category.items()),
        ]
    )


def write(report: Report, run_dir: Path) -> None:
    """Writes ``report.json`` and ``report.txt`` to the run's folder."""
    write_atomically(run_dir / "report.txt", render(report) + "\n")
    # Written last, because its existence marks the run as finished.
    write_atomically(run_dir / "report.json", json.dumps(report.to_json(), indent=1) + "\n")
