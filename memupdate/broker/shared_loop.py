"""An event loop in a thread of its own that shares what it serves with the threads that call it."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class _YieldingSelector(selectors.DefaultSelector):
    """Lets go of a lock while the event loop waits for something to do, and only then."""

    def __init__(self, lock: threading.Lock) -> None:
        super().__init__()
        self._lock = lock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As ``BaseSelector.select``."""
        self._lock.release()
        try:
            return super().select(timeout)
        finally:
            self._lock.acquire()


class SharedLoop:
    """Runs coroutines for other threads, in a daemon thread.

    What can be answered without waiting need not go through the loop, which costs two switches of threads: a thread
    that holds ``lock`` is alone with everything that the loop's coroutines share, as if it were one of their steps.

    Attributes:
        lock: held by the loop whenever a step of a coroutine runs.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._loop = asyncio.SelectorEventLoop(_YieldingSelector(self.lock))
        threading.Thread(target=self._run, name="shared-loop", daemon=True).start()

    def wait_for(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """The result of ``work``. Blocks the calling thread, which must not hold the lock."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _run(self) -> None:
        with self.lock:
            self._loop.run_forever()
