"""One event loop in a background thread, shared by the synchronous and asynchronous integrations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from memupdate.broker.futures import awaitable

Answer = TypeVar("Answer")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _background_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="memupdate-integrations", daemon=True).start()
        return _loop


def submit(work: Coroutine[Any, Any, Answer]) -> Future[Answer]:
    """Starts ``work`` on the background loop and returns its future. Any thread may call this function."""
    return asyncio.run_coroutine_threadsafe(work, _background_loop())


def wait_for(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Runs ``work`` on the background loop and returns its result, for synchronous code.

    It does not deadlock inside another running event loop, but it blocks that loop.
    """
    return submit(work).result()


async def relay(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Runs ``work`` on the background loop and returns its result, for any event loop.

    If the caller is cancelled, it stops waiting at once. The work still finishes, so that no write is left incomplete.
    """
    return await asyncio.shield(awaitable(submit(work)))
