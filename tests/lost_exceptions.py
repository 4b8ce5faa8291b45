"""Fails a test that loses an exception: asyncio logs it as never retrieved, or a finaliser or a thread drops it.

A future logs its exception when it is collected. One that is part of a cycle is only collected by the cyclic garbage
collector. It looks at young objects after every file of tests, and at all objects, which takes longer, at the end of the
session. An exception that is only found then fails the last test, and its message says where it comes from.
"""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Iterator

import pytest

MARK = "never retrieved"


class _Lost(logging.Handler):
    """Keeps what asyncio logs about exceptions that nobody retrieved."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if MARK in message:
            error = record.exc_info[1] if record.exc_info else None
            where = "".join(traceback.format_tb(error.__traceback__)) if error is not None else ""
            self.found.append(f"{message}\n{error!r}\n{where}")

    def check(self, where: str) -> None:
        """Fails if there is anything, and forgets it."""
        found, self.found = self.found, []
        assert not found, f"{where}: an exception was never retrieved:\n" + "\n\n".join(found)


_lost = _Lost()


def pytest_configure(config: pytest.Config) -> None:
    """An exception that a finaliser or a thread lost fails its test too."""
    for lost in ("PytestUnraisableExceptionWarning", "PytestUnhandledThreadExceptionWarning"):
        config.addinivalue_line("filterwarnings", f"error::pytest.{lost}")


@pytest.fixture(scope="session", autouse=True)
def _no_exception_is_lost_in_the_session() -> Iterator[None]:
    logging.getLogger("asyncio").addHandler(_lost)
    yield
    gc.collect()
    _lost.check("by the end of the tests")
    logging.getLogger("asyncio").removeHandler(_lost)


@pytest.fixture(scope="module", autouse=True)
def _no_exception_is_lost_in_a_file(
    _no_exception_is_lost_in_the_session: None, request: pytest.FixtureRequest
) -> Iterator[None]:
    yield
    gc.collect(1)
    _lost.check(f"in {request.node.name}")


@pytest.fixture(autouse=True)
def _no_exception_is_lost(_no_exception_is_lost_in_a_file: None) -> Iterator[None]:
    yield
    _lost.check("in this test")
