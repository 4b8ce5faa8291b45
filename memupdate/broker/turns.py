"""Locks that make calls on one namespace run one after another, in the order of their arrival."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass

from memupdate.broker.registry import OpenBank
from memupdate.broker.results import Outcome


@dataclass(slots=True)
class Turn:
    """A turn of operations that has been applied to a bank.

    Attributes:
        namespace: the bank's namespace.
        opened: the bank.
        before: the bank's number of operations before the turn.
        outcomes: the outcomes of the turn's operations.
        on_disk: a future that is done when the write has succeeded or failed; None if there is nothing to write.
        leads: whether this turn's caller must write the whole batch with ``MemoryBroker.write``.
    """

    namespace: str
    opened: OpenBank
    before: int
    outcomes: list[Outcome]
    on_disk: Future[None] | None = None
    leads: bool = False


class Turns:
    """One fair lock per namespace. A lock uses memory only while it is held.

    Only coroutines can wait for a lock. Other threads may take a free lock and release it, if they exclude each other
    and the event loop.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, *namespaces: str) -> AsyncIterator[None]:
        """Holds the locks of all these namespaces."""
        await self.take(*namespaces)
        try:
            yield
        finally:
            self.release(*namespaces)

    def taken(self, namespace: str) -> bool:
        """Returns whether the namespace's lock is held."""
        return namespace in self._waiters

    def take_free(self, namespace: str) -> None:
        """Takes the lock of a namespace that is not ``taken``."""
        self._waiters[namespace] = deque()

    async def take(self, *namespaces: str) -> None:
        """Waits for the locks of these namespaces, in alphabetical order to avoid deadlocks."""
        held: list[str] = []
        try:
            for namespace in sorted(set(namespaces)):
                await self._take_one(namespace)
                held.append(namespace)
        except asyncio.CancelledError:
            self.release(*held)
            raise

    def release(self, *namespaces: str) -> None:
        """Releases the locks of all these namespaces."""
        for namespace in set(namespaces):
            self._pass_on(namespace)

    async def _take_one(self, namespace: str) -> None:
        waiters = self._waiters.get(namespace)
        if waiters is None:
            self.take_free(namespace)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the lock arrived at the moment of the cancellation
                self._pass_on(namespace)
            raise

    def _pass_on(self, namespace: str) -> None:
        waiters = self._waiters[namespace]
        if not waiters:
            del self._waiters[namespace]
            return
        turn = waiters.popleft()
        turn.get_loop().call_soon_threadsafe(self._give, namespace, turn)

    def _give(self, namespace: str, turn: asyncio.Future[None]) -> None:
        if turn.done():  # cancelled while it waited
            self._pass_on(namespace)
        else:
            turn.set_result(None)
