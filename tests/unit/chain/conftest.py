from __future__ import annotations

from pathlib import Path

import pytest
from chained_corpus import write_data


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preprocessed corpus."""
    return write_data(tmp_path_factory.mktemp("chained"))
