"""What integration tests share: a small Ray, and the tiny policy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from installations import build_wheel, copy_of_the_checkout


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A real Ray on this machine, small, one for all tests."""
    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def synthetic_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preprocessed corpus of nine generated conversations: seven train, two are held out."""
    from memupdate.data.preprocess import preprocess
    from memupdate.data.synthetic import write_corpus

    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "corpus.json", 7, 2, seed=3)
    preprocess(folder / "corpus.json", folder / "data", dataset="synthetic", adversarial="drop", limit_questions=6)
    return folder / "data"


@pytest.fixture(scope="session")
def tiny_model(synthetic_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny policy, untrained."""
    from memupdate.policy import make_policy

    folder = tmp_path_factory.mktemp("policy") / "model"
    make_policy(folder, synthetic_data)
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    return build_wheel(copy_of_the_checkout(folder / "source"), folder)
