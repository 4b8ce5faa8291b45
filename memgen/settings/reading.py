"""Reads settings from a YAML file (see ``configs/latent_memory/``) and overrides. An unknown key is an error."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memgen.methods import METHODS
from memgen.sections import Settings
from memgen.settings.checks import check
from memgen.settings.defaults import METHOD, new_settings
from memupdate.errors import DataError, FieldError


def read_settings(path: Path, options: Sequence[str] = ()) -> Settings:
    """Reads a file of settings, applies overrides and checks the result.

    Args:
        path: a YAML file with the sections ``model``, ``dataset`` and ``run``.
        options: overrides as words, either ``k v`` or ``k=v``. Both forms may be mixed. Values are YAML.

    Raises:
        DataError: the file cannot be read, is not YAML, or does not hold sections.
        FieldError: a key is unknown, a required value is missing, or a value has the wrong type or is not allowed.
    """
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}: expected a YAML file of settings: {error}") from error
    if not isinstance(given, dict):
        sections = ", ".join(field.name for field in dataclasses.fields(Settings))
        raise DataError(f"{path}: expected the sections {sections}")
    layers = [given, *(_nested(key, value) for key, value in parse_options(options))]
    schema = OmegaConf.structured(new_settings(_method_of(layers)))
    merged = schema.copy()
    for layer in layers:
        for key, value in _leaves(layer, "", schema, schema):
            try:
                OmegaConf.update(merged, key, value, merge=False)
            except OmegaConfBaseException as error:
                raise FieldError(key, value, f"another type: {str(error).splitlines()[0]}") from error
    settings: Any = OmegaConf.to_object(merged)
    assert isinstance(settings, Settings)
    check(settings)
    return settings


def parse_options(words: Sequence[str]) -> list[tuple[str, Any]]:
    """Parses overrides and returns them as pairs of dotted key and value.

    Args:
        words: ``k v`` (two words) or ``k=v`` (one word), in any mixture. Values are YAML.

    Raises:
        FieldError: a key has no value, or a value is not valid YAML.
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


def _nested(key: str, value: object) -> dict[str, Any]:
    """Returns nested dictionaries for a dotted key: ``a.b`` gives ``{"a": {"b": value}}``."""
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    found: dict[str, Any] = nested
    return found


def _method_of(layers: Sequence[Mapping[str, Any]]) -> str:
    """Returns the name of the method. The last layer that sets ``model.method`` wins."""
    name: object = METHOD
    for layer in layers:
        model = layer.get("model")
        if isinstance(model, Mapping):
            name = model.get("method", name)
    return METHODS.check(name)


def _leaves(given: Mapping[str, Any], path: str, schema: DictConfig, whole: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yields dotted keys and values.

    Raises:
        FieldError: a key is not in the schema, or a section is not a mapping.
    """
    for name, value in given.items():
        key = f"{path}.{name}" if path else str(name)
        if name not in schema:
            near = difflib.get_close_matches(key, list(_keys(whole, "")), n=1)
            hint = f"; near: {near[0]}" if near else ""
            raise FieldError(key, value, f"keys of {path or 'the settings'}: {', '.join(map(str, schema))}{hint}")
        below = schema[name]
        if isinstance(below, DictConfig):
            if not isinstance(value, Mapping):
                raise FieldError(key, value, f"a section with keys of {', '.join(map(str, below))}")
            yield from _leaves(value, key, below, whole)
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
