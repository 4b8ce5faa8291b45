"""Plays the programs of the ladder on the held-out rows of a run: nothing, the best constant program, the oracle."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from memupdate.baselines.constant import NOTHING as DO_NOTHING
from memupdate.baselines.constant import QUESTION_PROGRAMS, SESSION_PROGRAMS
from memupdate.baselines.episodes import Episode, episodes_of, read_rows, some_of
from memupdate.baselines.program import Program
from memupdate.baselines.useful import ORACLE as ORACLE_PROGRAM
from memupdate.data.episodes import SESSION
from memupdate.data.rows import SESSION_CATEGORY
from memupdate.errors import DataError, FieldError
from memupdate.evaluation.comparison import Row
from memupdate.evaluation.intervals import mean_interval
from memupdate.evaluation.references import CONSTANT, NOTHING, ORACLE, References
from memupdate.memory import Embedder
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import Scorer

logger = logging.getLogger(__name__)


def play_ladder(
    data_dir: Path,
    *,
    episode: str,
    train_files: Sequence[Path],
    val_files: Sequence[Path],
    held_out: Collection[str],
    embedder: Embedder,
    scorer: Scorer,
    config: RewardConfig,
    seed: int,
    training_episodes: int,
) -> References:
    """Chooses the best constant program on training episodes, and plays the ladder's programs on held-out rows.

    Doing nothing is a constant program too, so the best one never earns less than 0 on the training episodes.

    Args:
        data_dir: the preprocessed folder.
        episode: ``question`` or ``session``, the kind of the run's episodes.
        train_files: the files of the run's training rows.
        val_files: the files of its held-out rows.
        held_out: the trajectory ids of the rows to play. A validation may take only some rows of its files.
        embedder: the run's embedder.
        scorer: the run's scorer.
        config: the run's reward, whose formula must be ``budgeted``.
        seed: ``memory.seed`` of the run. The hidden questions of the held-out rows are those of its validations. It
            also chooses the training episodes.
        training_episodes: on how many training episodes at most the constant program is chosen.

    Raises:
        FieldError: the reward has another formula, or a conversation has too few questions.
        DataError: a file is not as preprocessing writes it, has no rows, or lacks a row of ``held_out``.
    """
    if not config.is_budgeted:
        raise FieldError("reward.formula", config.formula, "budgeted, the formula that programs are played against")
    kept = some_of(_rows(train_files), training_episodes, seed)
    training = list(episodes_of(kept, data_dir, embedder, config, seed=seed))
    candidates = SESSION_PROGRAMS if episode == SESSION else QUESTION_PROGRAMS
    rewards = {
        program.name: _mean_reward(_play(program, training, scorer, config, seed))
        for program in tqdm(candidates, desc="constant programs", unit="program", disable=None)
    }
    best = max(candidates, key=lambda program: rewards[program.name])
    logger.info("the best constant program on %d training episodes: %s", len(training), best.name)

    rows = [row for row in _rows(val_files) if row["extra_info"]["namespace"] in held_out]
    lost = set(held_out) - {row["extra_info"]["namespace"] for row in rows}
    if lost:
        files = ", ".join(map(str, val_files))
        raise DataError(f"{files}: expected a row {min(lost)!r}, on which the run validated ({len(lost)} such)")
    episodes = list(episodes_of(rows, data_dir, embedder, config, seed=seed))
    programs = {NOTHING: DO_NOTHING, CONSTANT: best, ORACLE: ORACLE_PROGRAM}
    return References(
        programs={rung: program.name for rung, program in programs.items()},
        training_episodes=len(training),
        training_rewards=rewards,
        rungs={rung: _play(program, episodes, scorer, config, seed) for rung, program in programs.items()},
    )


def _rows(files: Sequence[Path]) -> list[dict[str, Any]]:
    rows = [row for file in files for row in read_rows(file)]
    if not rows:
        raise DataError(f"{', '.join(map(str, files))}: expected at least one row")
    return rows


def _play(
    program: Program, episodes: Sequence[Episode], scorer: Scorer, config: RewardConfig, seed: int
) -> dict[str, Row]:
    """Plays a program that has nothing to plant, and returns its figures by the episode's key."""
    played: dict[str, Row] = {}
    for episode in episodes:
        banks = program.play(episode, seed)
        assert banks is not None  # only a program that plants may have nothing to do
        start, after = banks
        counts = {"memory_count_before": float(len(start)), "memory_count_after": float(len(after))}
        category = float(episode.shown.category if episode.shown else SESSION_CATEGORY)
        parts = episode.score(after, scorer, config).to_dict()
        played[episode.key] = {"sample_id": episode.sample_id, "reward": {**parts, **counts, "category": category}}
    return played


def _mean_reward(played: dict[str, Row]) -> float:
    """Returns the mean over conversations, as all figures of a report."""
    rows = list(played.values())
    return mean_interval([row["reward"]["reward"] for row in rows], [row["sample_id"] for row in rows]).mean
