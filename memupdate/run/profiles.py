"""The profiles of memory runs: short names of the main config files."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from memupdate.errors import FieldError
from memupdate.files import CONFIGS
from memupdate.platform.config import compose, config_names

# Name of a profile -> name of a config file.
PROFILES = {"local": "local_memory_grpo", "cluster": "locomo_memory_grpo"}


def compose_profile(profile: str, overrides: Sequence[str]) -> DictConfig:
    """Composes the config of a profile with hydra overrides.

    Args:
        profile: ``local``, ``cluster``, or the name of a config file in ``configs/``.
        overrides: hydra overrides, such as ``trainer.total_training_steps=5``.

    Raises:
        FieldError: there is no such profile.
        ConfigError: hydra refuses an override, for example because it names an unknown key.
    """
    name = PROFILES.get(profile, profile)
    if name not in config_names():
        raise FieldError("profile", profile, "one of " + ", ".join(sorted(PROFILES)) + f", or a file in {CONFIGS}")
    return compose(name, overrides)
