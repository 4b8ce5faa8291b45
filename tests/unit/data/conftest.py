"""Small data that several of these tests read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memupdate.data.synthetic import synthetic_corpus


@pytest.fixture(scope="session")
def corpus_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic corpus of ten conversations."""
    path = tmp_path_factory.mktemp("corpus") / "synthetic.json"
    path.write_text(json.dumps(synthetic_corpus(10, seed=0)), encoding="utf-8")
    return path
