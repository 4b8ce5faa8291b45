"""The ladder of a run: doing nothing, the best constant program, the policy before and after training, and the oracle.

All rungs are measured on the same held-out rollouts. A program plays each row once, and its figures stand for every
rollout of that row, so that all rungs weigh the rows alike and differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memupdate.errors import DataError
from memupdate.evaluation.comparison import Pairs, Row, over_runs
from memupdate.evaluation.intervals import Interval
from memupdate.evaluation.references import CONSTANT, NOTHING, ORACLE, References

WARM_START, TRAINED = "warm start", "trained"
RUNGS = (NOTHING, CONSTANT, WARM_START, TRAINED, ORACLE)
# What a rung shows, as the reward's parts name it.
FIGURES = ("reward", "qa_after", "qa_hidden_after", "characters_after", "growth")
MALFORMED = "malformed_calls"

Run = tuple[Pairs, References]


@dataclass(frozen=True)
class Rung:
    """One rung.

    Attributes:
        name: an entry of ``RUNGS``.
        programs: the names of the programs that played, one for each run that chose another; empty for a policy.
        figures: the means of the figures in ``FIGURES``.
        malformed_calls: calls per rollout that could not be read; None for a program, which calls no tool.
        errors_per_call: see :func:`errors_per_call`; None for a program.
    """

    name: str
    programs: tuple[str, ...]
    figures: dict[str, Interval]
    malformed_calls: Interval | None = None
    errors_per_call: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the rung as JSON values."""
        return {
            "rung": self.name,
            "programs": list(self.programs),
            **{name: asdict(figure) for name, figure in self.figures.items()},
            MALFORMED: asdict(self.malformed_calls) if self.malformed_calls else None,
            "errors_per_call": self.errors_per_call,
        }


@dataclass(frozen=True)
class Ladder:
    """The rungs, and how far training climbed from the best constant program to the oracle.

    Attributes:
        rungs: the rungs in the order of ``RUNGS``.
        rollouts: how many rollouts of the trained policy each rung stands for.
        trained_over_constant: the reward of the trained policy beyond that of the best constant program, paired by row.
        share_of_gap: ``(trained - constant) / (oracle - constant)``, from the means of the reward; None if the oracle
            earns no more than the program.
    """

    rungs: tuple[Rung, ...]
    rollouts: int
    trained_over_constant: Interval
    share_of_gap: float | None

    def rewards(self) -> dict[str, float]:
        """Returns the mean reward of each rung by its name."""
        return {rung.name: rung.figures["reward"].mean for rung in self.rungs}

    def to_json(self) -> dict[str, Any]:
        """Returns the ladder as JSON values. ``share_of_gap_of`` has the three rewards of the share."""
        rewards = self.rewards()
        return {
            "ladder": [rung.to_json() for rung in self.rungs],
            "rollouts": self.rollouts,
            "trained_over_constant": asdict(self.trained_over_constant),
            "share_of_gap": self.share_of_gap,
            "share_of_gap_of": {"trained": rewards[TRAINED], "constant": rewards[CONSTANT], "oracle": rewards[ORACLE]},
        }


def climb(runs: Sequence[Run]) -> Ladder:
    """Returns the ladder of one training run or of several, each with a seed of its own.

    Args:
        runs: for each run, its pairs of rollouts before and after training, and what programs earn on their rows.

    Raises:
        DataError: a rollout does not name its row, or no program played the row.
        FieldError: a run has no pair, or none of a conversation of which another run has one.
    """
    played = [{name: _played(pairs, references, name) for name in references.rungs} for pairs, references in runs]
    before, after = ([[pair[side] for pair in pairs] for pairs, _ in runs] for side in (0, 1))

    def program(name: str) -> Rung:
        names = dict.fromkeys(references.program(name) for _, references in runs)
        return _rung(name, tuple(names), [rows[name] for rows in played])

    rungs = (program(NOTHING), program(CONSTANT), _policy(WARM_START, before), _policy(TRAINED, after), program(ORACLE))
    differences = [
        [(new["sample_id"], _reward(new) - _reward(row)) for new, row in zip(trained, rows[CONSTANT], strict=True)]
        for trained, rows in zip(after, played, strict=True)
    ]
    over = over_runs(differences)
    gap = rungs[4].figures["reward"].mean - rungs[1].figures["reward"].mean
    return Ladder(rungs, sum(map(len, after)), over, over.mean / gap if gap > 0 else None)


def rows_of(pairs: Pairs) -> list[str]:
    """Returns the trajectory id of each pair's row.

    Raises:
        DataError: a rollout does not name its row.
    """
    for old, _ in pairs:
        if "row" not in old:
            raise DataError(
                f"rollout {old['key']}: expected `row`, the id of its row; an older version wrote the trace"
            )
    return [old["row"] for old, _ in pairs]


def errors_per_call(rows: Sequence[Row]) -> float | None:
    """Returns the number of tool calls that failed divided by the number of calls; None if there was no call.

    A call that could not be read (malformed) or of a tool that does not exist (unknown) is a call that failed. Calls
    beyond the limit of a turn were not made, and are not counted.
    """
    calls = errors = 0.0
    for row in rows:
        reward = row["reward"]
        refused = reward[MALFORMED] + reward["unknown_calls"]
        calls += refused + _sum_of(reward, "calls_")
        errors += refused + _sum_of(reward, "errors_")
    return errors / calls if calls else None


def _sum_of(reward: Row, prefix: str) -> float:
    return float(sum(value for name, value in reward.items() if name.startswith(prefix)))


def _reward(row: Row) -> float:
    return float(row["reward"]["reward"])


def _played(pairs: Pairs, references: References, rung: str) -> list[Row]:
    """Returns the program's rows, one for each pair."""
    rows = references.rungs[rung]
    for name in rows_of(pairs):
        if name not in rows:
            raise DataError(f"{rung!r}: expected a program to have played the row {name!r} of a rollout")
    return [rows[name] for name in rows_of(pairs)]


def _rung(name: str, programs: tuple[str, ...], runs: Sequence[Sequence[Row]]) -> Rung:
    return Rung(name, programs, {figure: _mean(runs, figure) for figure in FIGURES})


def _policy(name: str, runs: Sequence[Sequence[Row]]) -> Rung:
    figures = {figure: _mean(runs, figure) for figure in FIGURES}
    return Rung(name, (), figures, _mean(runs, MALFORMED), errors_per_call([row for rows in runs for row in rows]))


def _mean(runs: Sequence[Sequence[Row]], figure: str) -> Interval:
    return over_runs([[(row["sample_id"], float(row["reward"][figure])) for row in rows] for rows in runs])


# The columns of the table: the heading, and what it shows of a rung.
_COLUMNS: tuple[tuple[str, Callable[[Rung], float | None]], ...] = (
    ("QA", lambda rung: rung.figures["qa_after"].mean),
    ("hidden QA", lambda rung: rung.figures["qa_hidden_after"].mean),
    ("characters", lambda rung: rung.figures["characters_after"].mean),
    ("growth", lambda rung: rung.figures["growth"].mean),
    ("malformed", lambda rung: rung.malformed_calls.mean if rung.malformed_calls else None),
    ("errors/call", lambda rung: rung.errors_per_call),
)


def render(ladder: Ladder) -> str:
    """Returns the ladder as a table for a terminal."""
    names = [
        f"{rung.name}: {', '.join(rung.programs)}" if rung.name == CONSTANT else rung.name for rung in ladder.rungs
    ]
    width = max(map(len, names)) + 2
    head = f"{'ladder, held-out':<{width}}{'reward [95 % interval]':>30}" + "".join(
        f"{name:>12}" for name, _ in _COLUMNS
    )
    lines = [head, "-" * len(head)]
    for name, rung in zip(names, ladder.rungs, strict=True):
        cells = "".join(f"{_number(value(rung)):>12}" for _, value in _COLUMNS)
        lines.append(f"{name:<{width}}{_bounds(rung.figures['reward']):>30}{cells}")
    return "\n".join([*lines, "", f"trained over constant  {_bounds(ladder.trained_over_constant)}", _share(ladder)])


def _share(ladder: Ladder) -> str:
    rewards = ladder.rewards()
    trained, constant, oracle = (f"{rewards[name]:.4f}" for name in (TRAINED, CONSTANT, ORACLE))
    if ladder.share_of_gap is None:
        return f"share of the gap: none, because the oracle ({oracle}) earns no more than the program ({constant})"
    return f"share of the gap  {ladder.share_of_gap:.3f} = ({trained} - {constant}) / ({oracle} - {constant})"


def _bounds(interval: Interval) -> str:
    bounds = "no interval" if interval.low is None else f"[{interval.low:.4f}, {interval.high:.4f}]"
    return f"{interval.mean:.4f} {bounds}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3f}"
