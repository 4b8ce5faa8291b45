"""One interface to the synchronous and the asynchronous methods of a store."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from langgraph.store.base import BaseStore, Item, Op, Result, SearchItem

FACES = ("sync", "async")

Namespace = tuple[str, ...]
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class NotOffered(Exception):
    """The store does not offer the checked feature, and LangGraph does not require it."""


class Calls:
    """Calls a store through its synchronous or asynchronous methods. Synchronous methods run in worker threads.

    Args:
        store: the store.
        face: ``sync`` or ``async``.
    """

    def __init__(self, store: BaseStore, face: str) -> None:
        self.store = store
        self.face = face

    async def require_face(self) -> None:
        """Raises NotOffered if the store does not implement the methods of this face."""
        try:
            await self.batch([])
        except NotImplementedError as error:
            raise NotOffered(f"no {self.face} calls: {error}") from error

    def require_ttl(self) -> None:
        """Raises NotOffered if the store does not support a time to live."""
        if not self.store.supports_ttl:
            raise NotOffered("no time to live")

    async def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Calls ``batch`` or ``abatch``."""
        return await self._call(self.store.batch, self.store.abatch, ops)

    async def get(self, namespace: Namespace, key: str, **options: Any) -> Item | None:
        """Calls ``get`` or ``aget``."""
        return await self._call(self.store.get, self.store.aget, namespace, key, **options)

    async def put(self, namespace: Namespace, key: str, value: Any, **options: Any) -> None:
        """Calls ``put`` or ``aput``."""
        await self._call(self.store.put, self.store.aput, namespace, key, value, **options)

    async def delete(self, namespace: Namespace, key: str) -> None:
        """Calls ``delete`` or ``adelete``."""
        await self._call(self.store.delete, self.store.adelete, namespace, key)

    async def search(self, prefix: Namespace, **options: Any) -> list[SearchItem]:
        """Calls ``search`` or ``asearch``."""
        return await self._call(self.store.search, self.store.asearch, prefix, **options)

    async def list_namespaces(self, **options: Any) -> list[Namespace]:
        """Calls ``list_namespaces`` or ``alist_namespaces``."""
        return await self._call(self.store.list_namespaces, self.store.alist_namespaces, **options)

    async def keys(self, prefix: Namespace, **options: Any) -> list[str]:
        """Returns the sorted keys that a search finds. The default ``limit`` is 1,000."""
        return sorted(item.key for item in await self.search(prefix, **{"limit": 1000, **options}))

    async def ranked(self, prefix: Namespace, query: str, **options: Any) -> list[SearchItem]:
        """Returns the results of a natural-language query. Raises NotOffered if the store gives no scores."""
        found = await self.search(prefix, query=query, **options)
        if found and all(item.score is None for item in found):
            raise NotOffered("no natural-language search")
        return found

    async def sweep(self) -> None:
        """Deletes the expired items if the store has a method ``sweep_ttl``."""
        sweep = getattr(self.store, "sweep_ttl", None)
        if sweep is None:
            return
        done = sweep() if inspect.iscoroutinefunction(sweep) else await asyncio.to_thread(sweep)
        if inspect.isawaitable(done):
            await done

    async def _call(
        self,
        method: Callable[Arguments, Answer],
        async_method: Callable[Arguments, Awaitable[Answer]],
        *args: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Answer:
        if self.face == "async":
            return await async_method(*args, **options)
        return await asyncio.to_thread(method, *args, **options)
