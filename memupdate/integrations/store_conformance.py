"""A pytest plugin that holds any LangGraph ``BaseStore`` to what LangGraph documents of one.

``pytest -p memupdate.integrations.store_conformance --store my.module:factory`` runs every check, through the
synchronous and the asynchronous methods, each on a store of its own that the factory makes (see ``run_check``). Several
``--store`` options run one after the other. A check that is about something the store does not offer is skipped.
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
    """Adds ``--store``."""
    parser.getgroup("store conformance").addoption(
        "--store",
        action="append",
        default=[],
        metavar="MODULE:FACTORY",
        help="a function without arguments that makes an empty store, or a context manager of one; repeatable",
    )


def pytest_configure(config: pytest.Config) -> None:
    """With ``--store``, this suite is what is run."""
    if config.getoption("--store"):
        for name in config.getoption("--store"):
            factory_of(name)  # a wrong name is an error of the command line, not of the suite
        config.args = [str(Path(conformance.__file__).with_name("suite.py"))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per store, face and check."""
    if "store_factory" in metafunc.fixturenames:
        named = metafunc.config.getoption("--store", default=[])
        metafunc.parametrize("check", conformance.CHECKS, ids=[check.name for check in conformance.CHECKS])
        metafunc.parametrize("face", conformance.FACES)
        metafunc.parametrize("store_factory", [factory_of(name) for name in named], ids=named)


def factory_of(name: str) -> Callable[[], Any]:
    """The factory that ``MODULE:FACTORY`` names.

    Raises:
        pytest.UsageError: there is no such function.
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
