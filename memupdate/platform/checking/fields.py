"""Checks of fields that are given by their dotted names."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memupdate.errors import FieldError

ACTOR = "actor_rollout_ref.actor"
REF = "actor_rollout_ref.ref"
ROLLOUT = "actor_rollout_ref.rollout"


def value_of(config: DictConfig, name: str) -> object:
    """Returns the value of a field, or None if the config does not have the field.

    Raises:
        FieldError: the value refers to a field that has none.
    """
    try:
        found: object = OmegaConf.select(config, name)
    except OmegaConfBaseException as error:
        raise FieldError(name, "???", f"a value ({' '.join(str(error).split())})") from error
    return found


def check_each(config: DictConfig, names: Iterable[str], check: Callable[[str, object], object]) -> None:
    """Calls ``check`` with each name and its value."""
    for name in names:
        check(name, value_of(config, name))


def check_each_given(config: DictConfig, names: Iterable[str], check: Callable[[str, object], object]) -> None:
    """Calls ``check`` with each name and its value. Fields that are null or missing are skipped."""
    for name in names:
        value = value_of(config, name)
        if value is not None:
            check(name, value)
