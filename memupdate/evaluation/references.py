"""What programs earn on the held-out rows of a run, in the form of its trace: ``ladder.json`` in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memupdate.errors import DataError
from memupdate.evaluation.comparison import Row
from memupdate.files import write_atomically

FILE = "ladder.json"
NOTHING, CONSTANT, ORACLE = "do nothing", "best constant", "oracle"
PROGRAM_RUNGS = (NOTHING, CONSTANT, ORACLE)


@dataclass(frozen=True)
class References:
    """What programs earn.

    Attributes:
        programs: the name of the program that played each rung of ``PROGRAM_RUNGS``.
        training_episodes: on how many training episodes the constant program was chosen.
        training_rewards: the mean reward of each candidate on them, by the candidate's name.
        rungs: for each rung, and by the row's trajectory id, ``sample_id`` and ``reward`` as in a line of a trace.
    """

    programs: Mapping[str, str]
    training_episodes: int
    training_rewards: Mapping[str, float]
    rungs: Mapping[str, Mapping[str, Row]]

    def program(self, rung: str) -> str:
        """Returns the name of the program that played a rung."""
        return self.programs[rung]


def write(references: References, run_dir: Path) -> None:
    """Writes ``ladder.json`` to the run's folder."""
    write_atomically(run_dir / FILE, json.dumps(asdict(references), indent=1, ensure_ascii=False) + "\n")


def read(run_dir: Path) -> References | None:
    """Reads ``ladder.json`` from the run's folder; None if there is none.

    Raises:
        DataError: the file is not one that :func:`write` wrote.
    """
    path = run_dir / FILE
    if not path.is_file():
        return None
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        references = References(**saved)
        rungs = set(references.rungs)
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: expected what programs earn, as a run's report writes it: {error}") from error
    if rungs != set(PROGRAM_RUNGS):
        raise DataError(f"{path}: rungs: expected {', '.join(PROGRAM_RUNGS)}, got {', '.join(sorted(rungs)) or 'none'}")
    return references
