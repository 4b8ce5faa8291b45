"""The report of a run, with what programs earn on its held-out rows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from memupdate.errors import DataError
from memupdate.evaluation import references, report
from memupdate.evaluation.comparison import pair_ends
from memupdate.evaluation.ladder import rows_of
from memupdate.platform import config as run_config
from memupdate.rewards.config import RewardConfig

logger = logging.getLogger(__name__)


def report_of(run_dir: Path) -> report.Report:
    """Returns the report of a finished run; it has a ladder if the run's reward is ``budgeted`` and it wants one.

    Raises:
        DataError: the folder is not that of a run with two validations, or as :func:`play_references`.
        FieldError: as :func:`play_references`.
    """
    return report.compare(run_dir, references_of(run_dir))


def references_of(run_dir: Path) -> references.References | None:
    """Returns what programs earn on the held-out rows of a run, from ``ladder.json``. They are played if it is missing.

    Raises:
        DataError: as :func:`report_of`.
        FieldError: as :func:`play_references`.
    """
    path = run_dir / "config.yaml"
    if not path.is_file():
        raise DataError(f"{run_dir}: expected the folder of a run, with config.yaml and trace/")
    config = run_config.load(path)
    return (references.read(run_dir) if _has_ladder(config) else None) or play_references(run_dir, config)


def play_references(run_dir: Path, config: DictConfig) -> references.References | None:
    """Plays programs on the held-out rows of a run, and writes what they earn to ``ladder.json`` in its folder.

    They play the rows whose rollouts were scored both before and after training.

    Args:
        run_dir: the run's folder.
        config: the run's config.

    Returns:
        What they earn; None, and no file, if the run's reward is not ``budgeted`` or it wants no ladder.

    Raises:
        FieldError: the embedder or the scorer cannot be made.
        DataError: the preprocessed folder or the trace is not as expected.
    """
    from memupdate.baselines.ladder import play_ladder
    from memupdate.memory import make_embedder
    from memupdate.rewards.scorers import make_scorer

    if not _has_ladder(config):
        return None
    memory, reward = config.memory, _reward(config)
    _, paired = pair_ends(run_dir)
    held_out = set(rows_of(paired.pairs))
    logger.info("playing programs on %d held-out rows", len(held_out))
    played = play_ladder(
        Path(memory.data_dir),
        episode=memory.episode,
        train_files=_paths(config.data.train_files),
        val_files=_paths(config.data.val_files),
        held_out=held_out,
        embedder=make_embedder(memory.embedder),
        scorer=make_scorer(reward.scorer),
        config=reward,
        seed=int(memory.seed),
        training_episodes=int(memory.ladder_episodes),
    )
    references.write(played, run_dir)
    return played


def _has_ladder(config: DictConfig) -> bool:
    return _reward(config).is_budgeted and config.memory.ladder_episodes > 0


def _reward(config: DictConfig) -> RewardConfig:
    section: Any = OmegaConf.to_container(config.memory.reward, resolve=True)
    return RewardConfig.from_mapping(section)


def _paths(files: str | ListConfig) -> list[Path]:
    """Returns the files of a setting that takes one or several, as verl does."""
    return [Path(file) for file in ([files] if isinstance(files, str) else files)]
