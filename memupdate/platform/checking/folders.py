"""Checks of the folders that a run writes."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from memupdate.checks import check_text
from memupdate.errors import FieldError
from memupdate.platform.checking.fields import value_of


def check_folders(config: DictConfig, section: str) -> None:
    """Checks that the run's folder and the folder of its checkpoints are folders, or can become folders.

    Raises:
        FieldError: a file is in the way.
    """
    for name in (f"{section}.run_dir", "trainer.default_local_dir"):
        given = check_text(name, value_of(config, name), "the path of a folder")
        path = Path(given).expanduser().absolute()
        nearest = next(place for place in (path, *path.parents) if place.exists())
        if not nearest.is_dir():
            raise FieldError(name, given, f"the path of a folder: {nearest} is a file")
