"""Small data that several of these tests read."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import write_json

from memupdate.data.synthetic import synthetic_corpus, write_corpus


@pytest.fixture(scope="session")
def corpus_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten generated conversations, syn-1 to syn-10, in a file that names no split, as LoCoMo's does."""
    corpus = list(synthetic_corpus(9, 1))
    for number, sample in enumerate(corpus, 1):
        del sample["split"]
        sample["sample_id"] = f"syn-{number}"
    return write_json(tmp_path_factory.mktemp("corpus") / "unsplit.json", corpus)


@pytest.fixture(scope="session")
def synthetic_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated corpus of the default size: 60 training and 24 held-out conversations."""
    path = tmp_path_factory.mktemp("corpus") / "synthetic.json"
    write_corpus(path)
    return path
