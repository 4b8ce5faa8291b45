"""Fixtures that every floor of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Every test fails that loses an exception.
pytest_plugins = ["lost_exceptions"]

# Before torch is loaded: the models here are tiny, and threads that wait for each other make the tests three times as
# slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def locomo_json() -> Path:
    """The real LoCoMo file: ``$LOCOMO_JSON``, or the copy beside the checkout. It is never part of the project."""
    path = Path(os.environ.get("LOCOMO_JSON") or ROOT.parent / "shared" / "data" / "locomo10.json")
    if not path.is_file():
        pytest.skip(f"LoCoMo is not here ({path}); set LOCOMO_JSON to locomo10.json to run this test")
    return path
