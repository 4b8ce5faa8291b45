"""All checks that training runs have in common."""

from __future__ import annotations

from omegaconf import DictConfig

from memupdate.platform.checking.batches import check_batches
from memupdate.platform.checking.folders import check_folders
from memupdate.platform.checking.machines import check_machines
from memupdate.platform.checking.names import check_names
from memupdate.platform.checking.numbers import check_numbers
from memupdate.platform.checking.section import check_section
from memupdate.platform.config import check_engine, check_training
from memupdate.platform.rollout.check import check_rollout


def check_run(config: DictConfig, section: str, file: str) -> None:
    """Checks the whole config of a training run. Starts nothing and writes nothing.

    Args:
        config: the config.
        section: the name of the config section with the run's own settings.
        file: the name of the config file that lists the keys of this section.

    Raises:
        FieldError: a field has a value that is not allowed. The error reports the first such field.
        ConfigError: verl refuses the config.
    """
    check_section(config, section, file)
    check_numbers(config)
    check_training(config, section)
    check_rollout(config)
    check_machines(config)
    check_batches(config)
    check_names(config)
    check_folders(config, section)
    check_engine(config)
