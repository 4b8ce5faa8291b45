from __future__ import annotations

from pathlib import Path

import pytest
from chained_corpus import write_data

from memupdate.policy import PolicySettings, make_policy


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preprocessed corpus."""
    return write_data(tmp_path_factory.mktemp("chained"))


@pytest.fixture(scope="session")
def model_dir(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights."""
    folder = tmp_path_factory.mktemp("model") / "policy"
    make_policy(folder, data_dir, PolicySettings(hidden_size=32, heads=2, head_dim=16, intermediate_size=32))
    return folder
