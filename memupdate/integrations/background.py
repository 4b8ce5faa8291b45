"""One event loop in a thread of its own, for faces that are called from synchronous code as well."""

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
    """Start ``work`` on the background loop, from any thread."""
    return asyncio.run_coroutine_threadsafe(work, _background_loop())


def wait_for(work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of ``work``, waited for in synchronous code.

    Safe inside a running event loop, which it blocks meanwhile: the work is done on another one.
    """
    return submit(work).result()


async def relay(work: Coroutine[Any, Any, Answer]) -> Answer:
    """The result of ``work``, awaited in any event loop.

    A caller that is cancelled stops waiting at once; the work is finished all the same, so that nothing is left half
    written, and before any work of the same kind that is submitted later.
    """
    return await asyncio.shield(asyncio.wrap_future(submit(work)))
