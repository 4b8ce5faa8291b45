"""Futures of threads, awaited on an event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

Answer = TypeVar("Answer")


def awaitable(answer: Future[Answer]) -> asyncio.Future[Answer]:
    """Returns an asyncio future for a future of a thread.

    Its exception counts as retrieved, even if every coroutine that waited for it was cancelled. Otherwise asyncio would
    log it from a finaliser. Formatting that log calls ``ast.parse``, and if ``ast.parse`` was what the finaliser
    interrupted, CPython 3.11 ends it with a ``SystemError``.
    """
    awaited = asyncio.wrap_future(answer)
    awaited.add_done_callback(_retrieve)
    return awaited


def _retrieve(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()
