"""Fixtures that the rooms share: composed configs, and packages that seem to be installed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from installed_package import install_into
from omegaconf import DictConfig, OmegaConf, open_dict

from memupdate.run.profiles import PROFILES, compose_profile

EXTENDING = Path(__file__).resolve().parents[1] / "extending"


@functools.cache
def _composed(profile: str) -> DictConfig:
    """Composes a profile or a config file once: hydra takes half a second for it."""
    places = ["memory.run_dir=/runs/r", "memory.data_dir=/runs/d"] if profile in PROFILES else []
    return compose_profile(profile, places)


@pytest.fixture(scope="session")
def configs() -> Callable[..., DictConfig]:
    """Returns a function that changes a composed config as hydra overrides do."""

    def changed(profile: str, *overrides: str) -> DictConfig:
        model = ["actor_rollout_ref.model.path=local/tiny-policy"] if profile == "local" else []
        config = _composed(profile).copy()
        for override in [*model, *overrides]:
            added = override.startswith("+")
            change = OmegaConf.from_dotlist([override.removeprefix("+")])
            with open_dict(config) if added else contextlib.nullcontext():
                config.merge_with(change)
        return config

    return changed


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Returns a function that writes what ``pip install`` writes for a package with these entry points.

    The modules in ``tests/extending`` can be imported, too.
    """

    def written(entry_points: str, name: str = "toys") -> None:
        monkeypatch.syspath_prepend(str(install_into(tmp_path / f"site-{name}", entry_points, name)))
        monkeypatch.syspath_prepend(str(EXTENDING))

    return written
