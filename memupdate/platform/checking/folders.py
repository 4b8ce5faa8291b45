"""Checks of the folders that a run writes."""

from __future__ import annotations

from omegaconf import DictConfig

from memupdate.checks import check_folder
from memupdate.platform.checking.fields import value_of


def check_folders(config: DictConfig, section: str) -> None:
    """Checks that the run's folder and the folder of its checkpoints are folders, or can become folders.

    Raises:
        FieldError: a file is in the way.
    """
    for name in (f"{section}.run_dir", "trainer.default_local_dir"):
        check_folder(name, value_of(config, name))
