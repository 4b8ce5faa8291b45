"""The only test function of the suite. The plugin ``store_conformance`` parametrizes it by check, face and store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memupdate.integrations.conformance.check import Check, NotOffered, run_check


def test_store_conforms(check: Check, face: str, store_factory: Callable[[], Any]) -> None:
    """Checks that one of LangGraph's promises holds for this store."""
    try:
        run_check(check, face, store_factory)
    except NotOffered as reason:
        pytest.skip(str(reason))
