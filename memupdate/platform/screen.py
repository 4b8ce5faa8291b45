"""Keeps the output of libraries off the user's screen, without losing it and without hiding errors."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

# verl's messages about a config that a user should see start with these words.
_WARNINGS = ("NOTICE", "WARNING")


@contextlib.contextmanager
def printed_to(logger: logging.Logger) -> Iterator[None]:
    """Redirects the standard output of the block, and Python's warnings in it, to a logger.

    A line that starts with NOTICE or WARNING is logged as a warning, and every other line at level DEBUG. So are
    warnings that verl's own modules raise, for example about each engine that is not installed. Other warnings stay
    warnings. If the block raises, everything is logged as warnings, because it may explain the error.

    Args:
        logger: the logger, which gets one record per line.
    """
    captured = io.StringIO()
    failed = True
    warned: list[warnings.WarningMessage] = []
    try:
        with contextlib.redirect_stdout(captured), warnings.catch_warnings(record=True) as warned:
            yield
        failed = False
    finally:
        told = [*captured.getvalue().splitlines(), *map(_line, warned)]
        for line in filter(None, map(str.strip, told)):
            warns = failed or line.startswith(_WARNINGS)
            logger.log(logging.WARNING if warns else logging.DEBUG, "%s", line)


def _line(warned: warnings.WarningMessage) -> str:
    start = "" if "verl" in Path(warned.filename).parts else "WARNING: "
    return f"{start}{warned.category.__name__}: {warned.message}"


@contextlib.contextmanager
def without_weight_bars() -> Iterator[None]:
    """Disables, inside the block, the progress bars that transformers shows when it reads and writes weights."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
