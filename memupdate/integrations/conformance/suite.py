"""The one test function of the suite; the plugin ``store_conformance`` gives it every check, face and store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memupdate.integrations.conformance.check import Check, NotOffered, run_check


def test_store_conforms(check: Check, face: str, store_factory: Callable[[], Any]) -> None:
    """What LangGraph promises holds for this store."""
    try:
        run_check(check, face, store_factory)
    except NotOffered as reason:
        pytest.skip(str(reason))
