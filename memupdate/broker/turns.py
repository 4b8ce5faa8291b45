"""Calls about one namespace are answered one after another, in the order in which they came."""

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
    """A turn of operations that was applied to a bank.

    Attributes:
        namespace: whose bank.
        opened: the bank.
        before: how many operations the bank had.
        outcomes: what they gave.
        on_disk: done when the turn is on disk, or will not be; None where nothing is to be written.
        leads: whether this turn's caller has to write it, and the others of its batch, with ``MemoryBroker.write``.
    """

    namespace: str
    opened: OpenBank
    before: int
    outcomes: list[Outcome]
    on_disk: Future[None] | None = None
    leads: bool = False


class Turns:
    """A fair lock for each namespace. A lock takes memory only while it is held.

    Only coroutines may wait for a lock. Threads that exclude each other may take a free one, and release it.
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
        """Returns whether somebody holds the namespace's lock."""
        return namespace in self._waiters

    def take_free(self, namespace: str) -> None:
        """Takes the lock of a namespace that is not ``taken``."""
        self._waiters[namespace] = deque()

    async def take(self, *namespaces: str) -> None:
        """Waits for the locks of these namespaces, in alphabetical order, so that no two calls wait for each other."""
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
            if not turn.cancelled():  # it came at the moment of the cancellation
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
