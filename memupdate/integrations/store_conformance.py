"""A pytest plugin that checks any LangGraph ``BaseStore`` against LangGraph's documentation.

``pytest -p memupdate.integrations.store_conformance --store my.module:factory`` runs every check twice, through the
synchronous and the asynchronous methods. The factory makes a new store for each run of a check (see ``run_check``).
``--store`` can be repeated; the stores are checked one after the other. A check of a feature that the store does not
offer is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("memupdate.integrations.conformance")

from memupdate.integrations import conformance  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option ``--store``."""
    parser.getgroup("store conformance").addoption(
        "--store",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="a function without arguments that returns an empty store or a context manager that gives one; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes pytest run only this suite if ``--store`` is given."""
    if config.getoption("--store"):
        for name in config.getoption("--store"):
            factory_of(name)  # an invalid name is a command-line error, not a failed test
        config.args = [str(Path(conformance.__file__).with_name("suite.py"))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Generates one test per store, face and check."""
    if "store_factory" in metafunc.fixturenames:
        named = metafunc.config.getoption("--store", default=[])
        metafunc.parametrize("check", conformance.CHECKS, ids=[check.name for check in conformance.CHECKS])
        metafunc.parametrize("face", conformance.FACES)
        metafunc.parametrize("store_factory", [factory_of(name) for name in named], ids=named)


def factory_of(name: str) -> Callable[[], Any]:
    """Imports and returns the factory ``MODULE:FACTORY``.

    Raises:
        pytest.UsageError: the factory cannot be imported or is not callable.
    """
    module, _, attribute = name.partition(":")
    try:
        factory: Callable[[], Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(
            f"--store: got {name!r}; allowed: MODULE:FACTORY that can be imported ({error})"
        ) from error
    if not callable(factory):
        raise pytest.UsageError(f"--store: got {name!r}; allowed: MODULE:FACTORY of a function")
    return factory
