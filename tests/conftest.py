"""Fixtures that every floor of the tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def locomo_json() -> Path:
    """The real LoCoMo file: ``$LOCOMO_JSON``, or the copy beside the checkout. It is never part of the project."""
    path = Path(os.environ.get("LOCOMO_JSON") or ROOT.parent / "shared" / "data" / "locomo10.json")
    if not path.is_file():
        pytest.skip(f"LoCoMo is not here ({path}); set LOCOMO_JSON to locomo10.json to run this test")
    return path
