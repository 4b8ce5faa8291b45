"""One event loop in a thread of its own, for code that is also called without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

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
    """Starts ``work`` on the background loop. Any thread may call it."""
    return asyncio.run_coroutine_threadsafe(work, _background_loop())


def wait_for(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Waits for the result of ``work`` and returns it, in synchronous code.

    It is safe inside a running event loop, which it blocks, because the work is done on another one.
    """
    return submit(work).result()


async def relay(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Awaits the result of ``work`` and returns it, in any event loop.

    A caller that is cancelled stops waiting at once. The work goes on to its end, so that nothing is left half written.
    """
    return await asyncio.shield(asyncio.wrap_future(submit(work)))
