"""Reading settings: a YAML file of ``configs/latent_memory/`` and overrides. An unknown key is an error."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memgen.settings.checks import check
from memgen.settings.sections import Settings
from memupdate.errors import DataError, FieldError


def read_settings(path: Path, options: Sequence[str] = ()) -> Settings:
    """Reads a file and applies overrides.

    Args:
        path: a YAML file with the sections ``model``, ``dataset`` and ``run``.
        options: words ``k v`` or ``k=v``, mixed as one likes; values are YAML.

    Raises:
        DataError: no such file, or no YAML.
        FieldError: an unknown key, a value of another type or outside what is allowed, or one that is missing.
    """
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}: expected a YAML file of settings: {error}") from error
    if not isinstance(given, dict):
        raise DataError(f"{path}: expected the sections {', '.join(_fields(Settings))}")
    merged = OmegaConf.structured(Settings)
    _merge(merged, given)
    for key, value in parse_options(options):
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(merged, nested)
    settings: Any = OmegaConf.to_object(merged)
    assert isinstance(settings, Settings)
    check(settings)
    return settings


def parse_options(words: Sequence[str]) -> list[tuple[str, Any]]:
    """Overrides from words: ``k v`` and ``k=v``.

    Raises:
        FieldError: a key without a value, or a value that is no YAML.
    """
    found: list[tuple[str, Any]] = []
    rest = iter(words)
    for word in rest:
        key, equals, text = word.partition("=")
        if not equals:
            following = next(rest, None)
            if following is None:
                raise FieldError("--options", word, "a value after each key: k v or k=v")
            text = following
        try:
            found.append((key, yaml.safe_load(text)))
        except yaml.YAMLError as error:
            raise FieldError(key, text, "a YAML value") from error
    return found


def _merge(config: DictConfig, given: Mapping[str, Any]) -> None:
    for key, value in _leaves(given, "", OmegaConf.structured(Settings)):
        try:
            OmegaConf.update(config, key, value, merge=False)
        except OmegaConfBaseException as error:
            raise FieldError(key, value, f"another type: {str(error).splitlines()[0]}") from error


def _leaves(given: Mapping[str, Any], path: str, schema: DictConfig) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; every key must be the schema's."""
    for name, value in given.items():
        key = f"{path}.{name}" if path else str(name)
        if name not in schema:
            near = difflib.get_close_matches(key, list(_keys(OmegaConf.structured(Settings), "")), n=1)
            hint = f"; near: {near[0]}" if near else ""
            raise FieldError(key, value, f"keys of {path or 'the settings'}: {', '.join(map(str, schema))}{hint}")
        below = schema[name]
        if isinstance(below, DictConfig):
            if not isinstance(value, Mapping):
                raise FieldError(key, value, f"a section with keys of {', '.join(map(str, below))}")
            yield from _leaves(value, key, below)
        else:
            yield key, value


def _keys(schema: DictConfig, path: str) -> Iterator[str]:
    for name in map(str, schema):
        key = f"{path}.{name}" if path else name
        below = schema[name]
        if isinstance(below, DictConfig):
            yield from _keys(below, key)
        else:
            yield key


def _fields(settings: Any) -> list[str]:
    return [one.name for one in dataclasses.fields(settings)]
