"""Checks of a run's own config section: its keys, and the settings that every job has."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from omegaconf import DictConfig, OmegaConf

from memupdate.checks import check_at_least, check_bool, check_integer, check_mapping, check_number_from_zero
from memupdate.errors import FieldError
from memupdate.files import CONFIGS


def check_section(config: DictConfig, section: str, file: str) -> None:
    """Checks that the project reads every key of the section, and the settings that every job has.

    Args:
        config: the whole config.
        section: the section's name.
        file: the name of the config file that lists the section's keys, without ``.yaml``.

    Raises:
        FieldError: there is no such key, or a value is not allowed.
    """
    known = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{file}.yaml"))
    assert isinstance(known, dict)
    _check_keys(OmegaConf.to_container(config[section]), known[section], section)
    settings = config[section]
    check_integer(f"{section}.seed", settings.seed)
    check_number_from_zero(f"{section}.mismatch.alarm", settings.mismatch.alarm)
    check_bool(f"{section}.mismatch.stop", settings.mismatch.stop)
    check_at_least(f"{section}.trace.every", settings.trace.every, 0)
    check_at_least(f"{section}.trace.table_rows", settings.trace.table_rows, 0)


def _check_keys(given: object, known: Mapping[str, object], path: str) -> None:
    for key, value in check_mapping(path, given, "a section with " + ", ".join(known)).items():
        name = f"{path}.{key}"
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            allowed = f"did you mean {path}.{near[0]}?" if near else f"one of {', '.join(known)}"
            raise FieldError(name, value, f"no such key; {allowed}")
        section = known[key]
        if isinstance(section, Mapping):
            _check_keys(value, section, name)
