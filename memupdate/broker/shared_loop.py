"""An event loop in a separate thread. A lock protects the data that its coroutines share with other threads."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class _YieldingSelector(selectors.DefaultSelector):
    """A selector that releases a lock only while the event loop waits for events."""

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
    """Runs coroutines for other threads in a daemon thread.

    A call through the loop costs two thread switches. A thread that need not wait can avoid them: while it holds
    ``lock``, no coroutine of the loop runs, so it may use the data that they share.

    Attributes:
        lock: a lock that the loop holds while a coroutine runs.
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
