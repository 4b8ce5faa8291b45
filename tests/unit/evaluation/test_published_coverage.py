"""The tables of ``docs/intervals.md`` are those of the committed benchmark, and its intervals cover as promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
FIGURES: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "interval_coverage.json").read_text())
VERY_SKEWED = "very skewed (exponential, skewness 2)"


def percent(rows: list[dict[str, Any]], method: str) -> str:
    """The smallest coverage of a method in some rows of the figures."""
    return f"{min(row[method]['coverage'] for row in rows):.1%}".replace("%", " %")


def tables() -> list[list[str]]:
    """The cells of all rows of tables on the page that start with a number."""
    lines = (ROOT / "docs" / "intervals.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [cells for cells in rows if cells[0].isdigit()]


def expected() -> list[list[str]]:
    """The rows of both tables, from the committed figures."""
    one_run = []
    for clusters in (3, 8, 10, 20):
        rows = [row for row in FIGURES["one_run"] if row["clusters"] == clusters]
        usual = [row for row in rows if row["effects"] != VERY_SKEWED]
        worst = [row for row in rows if row["effects"] == VERY_SKEWED and row["noise"] == 0]
        cells = [percent(usual, method) for method in ("t", "bootstrap_t", "percentile_bootstrap")]
        one_run.append([str(clusters), *cells, percent(worst, "t"), percent(worst, "bootstrap_t")])
    several = []
    for seeds, clusters in ((2, 8), (3, 3), (3, 8), (3, 20), (5, 8)):
        rows = [row for row in FIGURES["several_seeds"] if (row["seeds"], row["clusters"]) == (seeds, clusters)]
        methods = ("t_over_seeds", "welch", "t_pooled", "percentile_bootstrap")
        several.append([str(seeds), str(clusters), *(percent(rows, method) for method in methods)])
    return one_run + several


def test_the_page_has_the_committed_figures() -> None:
    assert tables() == expected()


def test_the_intervals_cover_and_the_bootstrap_did_not() -> None:
    usual = [row for row in FIGURES["one_run"] if row["effects"] != VERY_SKEWED]
    assert {row["clusters"] for row in usual} == {3, 8, 10, 20}
    assert all(row["t"]["coverage"] >= 0.93 for row in usual)
    assert all(row["t_over_seeds"]["coverage"] >= 0.93 for row in FIGURES["several_seeds"])
    assert all(row["percentile_bootstrap"]["coverage"] < 0.80 for row in usual if row["clusters"] == 3)
