"""What the default reward pays for edits that nobody learnt, on the generated corpus and on LoCoMo.

    python benchmarks/reward_audit.py [--quick] [--out FILE] [--locomo locomo10.json]

Plays the programs of ``memupdate reward-audit`` on 250 training episodes of each kind, and writes a JSON file and the
table of ``docs/reward.md``. No model is trained. The embedder is the hashing embedder and the scorer is ``span``.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import common

from memupdate.baselines.audit import audit
from memupdate.data.episodes import EPISODES
from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import write_corpus

logger = logging.getLogger(__name__)

PAGE = common.ROOT / "docs" / "reward.md"
BEGIN, END = "<!-- table of edits: benchmarks/reward_audit.py -->\n", "<!-- end of the table -->\n"
COLUMNS = (("generated", "session"), ("generated", "question"), ("locomo", "session"), ("locomo", "question"))
KINDS = ("nothing", "constant", "vandal", "useful", "neutral", "oracle")
HEAD = ("", "generated, session", "generated, question", "LoCoMo, session", "LoCoMo, question")


def folders(work: Path, locomo: Path | None) -> dict[str, Path]:
    """Preprocesses the corpora, without questions that have no answer, and returns their folders by name."""
    write_corpus(work / "generated.json", 60, 1)
    preprocess(work / "generated.json", work / "generated", dataset="synthetic", adversarial="drop")
    found = {"generated": work / "generated"}
    if locomo is not None:
        preprocess(locomo, work / "locomo", adversarial="drop")
        found["locomo"] = work / "locomo"
    return found


def audits(data: dict[str, Path], episodes: int) -> dict[str, dict[str, Any]]:
    """Returns the audit of each corpus and kind of episode, under ``corpus-kind``."""
    return {
        f"{corpus}-{kind}": audit(folder, episode=kind, split="train", limit=episodes)
        for corpus, folder in data.items()
        for kind in EPISODES
    }


def table(figures: dict[str, Any]) -> str:
    """Returns the table of the page: a line for each program, with its mean reward in each column."""
    columns = [figures.get(f"{corpus}-{kind}") for corpus, kind in COLUMNS]
    rows = [row for column in columns if column for row in column["earned"] if row["reward"]]
    names = dict.fromkeys(row["program"] for kind in KINDS for row in rows if row["kind"] == kind)
    lines = [f"| {' | '.join(HEAD)} |", "|---|" + "--:|" * len(COLUMNS)]
    for name in names:
        cells = [_cell(column, name) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    best = [f"{column['best_constant']['share_of_oracle']:.1%}" if column else "" for column in columns]
    lines.append(f"| **best constant program, of the oracle** | {' | '.join(best)} |")
    return "\n".join(lines) + "\n"


def _cell(column: dict[str, Any] | None, program: str) -> str:
    rows = [row for row in column["earned"] if row["program"] == program] if column else []
    return f"{rows[0]['reward']['mean']:.4f}" if rows and rows[0]["reward"] else ""


def main() -> None:
    parser = common.arguments("reward_audit", __doc__)
    given = os.environ.get("LOCOMO_JSON")
    parser.add_argument("--locomo", type=Path, default=Path(given) if given else None, help="LoCoMo's JSON file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as work:
        figures = audits(folders(Path(work), options.locomo), 20 if options.quick else 250)
    common.write(options.out, figures)
    if not options.quick:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + table(figures) + END + rest.partition(END)[2])
    logger.info("%s", table(figures))


if __name__ == "__main__":
    main()
