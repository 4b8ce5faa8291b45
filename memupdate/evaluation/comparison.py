"""Pairs the rollouts of two validations, and compares them over the training runs of one or more seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memupdate.errors import DataError, FieldError
from memupdate.evaluation.intervals import Interval, mean_interval

Row = Mapping[str, Any]  # one line of a trace
Pairs = Sequence[tuple[Row, Row]]  # rollouts of one run, as (before, after)


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


def pair_ends(run_dir: Path) -> tuple[tuple[int, int], Pairing]:
    """Pairs the first validation of a run with its last.

    Returns:
        The policy's training steps at both, and the paired rollouts, at least one pair.

    Raises:
        DataError: the run has fewer than two validations, or no rollout was scored in both.
    """
    traces = read_validation(run_dir)
    first, last = min(traces), max(traces)
    paired = pair(traces[first], traces[last])
    if not paired.pairs:
        raise DataError(f"{run_dir}: no held-out rollout was scored both at step {first} and at step {last}")
    return (first, last), paired


def compare_pairs(runs: Sequence[Pairs], field: str) -> Comparison:
    """Compares one field of the reward before and after training.

    Args:
        runs: the pairs of each training run, at least one. Each run has a seed of its own.
        field: the name of a numeric field of ``reward``.

    Raises:
        FieldError: a run has no pair, or none of a conversation of which another run has one.
    """
    return Comparison(
        before=over_runs([[(old["sample_id"], float(old["reward"][field])) for old, _ in pairs] for pairs in runs]),
        after=over_runs([[(old["sample_id"], float(new["reward"][field])) for old, new in pairs] for pairs in runs]),
        difference=over_runs([[(old["sample_id"], _change(old, new, field)) for old, new in pairs] for pairs in runs]),
    )


def compare_changes(treated: Sequence[Pairs], control: Sequence[Pairs], field: str) -> tuple[int, Interval]:
    """Compares the change of one field of the reward in treated runs with its change in control runs.

    A rollout of a treated run is paired with the rollout of the same key in the control run of the same seed. Rollouts
    without this counterpart are left out.

    Args:
        treated: the pairs of each training run, by seed.
        control: the pairs of each control run, in the same order of seeds.
        field: the name of a numeric field of ``reward``.

    Returns:
        The number of rollouts that have a counterpart, and the mean of their differences.

    Raises:
        FieldError: a seed has no such rollout, or none of a conversation of which another seed has one.
        ValueError: the numbers of runs differ.
    """
    changes = []
    for own, other in zip(treated, control, strict=True):
        reference = {old["key"]: _change(old, new, field) for old, new in other}
        both = [(old, new) for old, new in own if old["key"] in reference]
        changes.append([(old["sample_id"], _change(old, new, field) - reference[old["key"]]) for old, new in both])
    return sum(map(len, changes)), over_runs(changes)


def _change(old: Row, new: Row, field: str) -> float:
    return float(new["reward"][field]) - float(old["reward"][field])


def over_runs(runs: Sequence[Sequence[tuple[str, float]]]) -> Interval:
    """Returns the mean of scores over conversations and training runs, and its interval.

    Args:
        runs: for each training run, the scores, each with its conversation.

    Raises:
        FieldError: a run has no score, or none of a conversation of which another run has one.
    """
    for seed, scores in enumerate(runs):
        if not scores:
            raise FieldError("runs", f"no rollout to compare in run {seed}", "at least one in each run")
    return mean_interval(
        [score for scores in runs for _, score in scores],
        clusters=[conversation for scores in runs for conversation, _ in scores],
        seeds=[seed for seed, scores in enumerate(runs) for _ in scores],
    )
