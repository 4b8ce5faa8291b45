"""Keeps what libraries print off the user's screen, without losing it and without hiding an error."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

# verl prints these words before what a user should know of a config.
_WARNINGS = ("NOTICE", "WARNING")


@contextlib.contextmanager
def printed_to(logger: logging.Logger) -> Iterator[None]:
    """Sends what the block prints to a logger.

    A line that starts with NOTICE or WARNING is logged as a warning, and every other line at level DEBUG. If the block
    raises, all lines are logged as warnings: they may say why.

    Args:
        logger: gets one record for each line.
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
    """Switches off the progress bars with which transformers reads and writes weights, inside the block."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
