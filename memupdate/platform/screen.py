"""Keeps the output of libraries off the user's screen, without losing it and without hiding errors."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

# verl's messages about a config that a user should see start with these words.
_WARNINGS = ("NOTICE", "WARNING")


@contextlib.contextmanager
def printed_to(logger: logging.Logger) -> Iterator[None]:
    """Redirects the standard output of the block to a logger.

    A line that starts with NOTICE or WARNING is logged as a warning, and every other line at level DEBUG. If the block
    raises, all lines are logged as warnings, because they may explain the error.

    Args:
        logger: the logger, which gets one record per line.
    """
    captured = io.StringIO()
    failed = True
    try:
        with contextlib.redirect_stdout(captured):
            yield
        failed = False
    finally:
        for line in filter(None, map(str.strip, captured.getvalue().splitlines())):
            warns = failed or line.startswith(_WARNINGS)
            logger.log(logging.WARNING if warns else logging.DEBUG, "%s", line)


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
