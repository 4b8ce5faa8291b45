"""An event loop in a thread of its own. It shares its data with the threads that call it, by a lock."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class _YieldingSelector(selectors.DefaultSelector):
    """Releases a lock while the event loop waits for something to do, and only then."""

    def __init__(self, lock: threading.Lock) -> None:
        super().__init__()
        self._lock = lock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See ``BaseSelector.select``."""
        self._lock.release()
        try:
            return super().select(timeout)
        finally:
            self._lock.acquire()


class SharedLoop:
    """Runs coroutines for other threads, in a daemon thread.

    A call through the loop costs two switches of threads. A thread that need not wait can do without: while it holds
    ``lock``, no coroutine of the loop runs a step, so it may use everything that they share.

    Attributes:
        lock: held by the loop whenever a step of a coroutine runs.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._loop = asyncio.SelectorEventLoop(_YieldingSelector(self.lock))
        threading.Thread(target=self._run, name="shared-loop", daemon=True).start()

    def wait_for(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Returns the result of ``work``. Blocks the calling thread, which must not hold the lock."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self) -> None:
        with self.lock:
            self._loop.run_forever()
