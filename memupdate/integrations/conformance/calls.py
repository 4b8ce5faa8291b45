"""A store's two faces, synchronous and asynchronous, called in one way."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from typing import Any

from langgraph.store.base import BaseStore, Item, Op, Result, SearchItem

FACES = ("sync", "async")

Namespace = tuple[str, ...]


class NotOffered(Exception):
    """The store does not offer what a check is about, and LangGraph does not ask it to."""


class Calls:
    """Calls a store through one of its faces; synchronous methods are called in worker threads.

    Args:
        store: the store.
        face: ``sync`` or ``async``.
    """

    def __init__(self, store: BaseStore, face: str) -> None:
        self.store = store
        self.face = face

    async def require_face(self) -> None:
        """Raises NotOffered where the store documents that it does not have this face."""
        try:
            await self.batch([])
        except NotImplementedError as error:
            raise NotOffered(f"no {self.face} calls: {error}") from error

    def require_ttl(self) -> None:
        """Raises NotOffered where the store does not support a time to live."""
        if not self.store.supports_ttl:
            raise NotOffered("no time to live")

    async def batch(self, ops: Iterable[Op]) -> list[Result]:
        """``batch`` or ``abatch``."""
        return await self._call("batch", ops)

    async def get(self, namespace: Namespace, key: str, **options: Any) -> Item | None:
        """``get`` or ``aget``."""
        return await self._call("get", namespace, key, **options)

    async def put(self, namespace: Namespace, key: str, value: Any, **options: Any) -> None:
        """``put`` or ``aput``."""
        await self._call("put", namespace, key, value, **options)

    async def delete(self, namespace: Namespace, key: str) -> None:
        """``delete`` or ``adelete``."""
        await self._call("delete", namespace, key)

    async def search(self, prefix: Namespace, **options: Any) -> list[SearchItem]:
        """``search`` or ``asearch``."""
        return await self._call("search", prefix, **options)

    async def list_namespaces(self, **options: Any) -> list[Namespace]:
        """``list_namespaces`` or ``alist_namespaces``."""
        return await self._call("list_namespaces", **options)

    async def keys(self, prefix: Namespace, **options: Any) -> list[str]:
        """The keys that a search finds, sorted; without ``limit`` up to 1,000."""
        return sorted(item.key for item in await self.search(prefix, **{"limit": 1000, **options}))

    async def ranked(self, prefix: Namespace, query: str, **options: Any) -> list[SearchItem]:
        """What a natural-language query finds. Raises NotOffered where the store does not score."""
        found = await self.search(prefix, query=query, **options)
        if found and all(item.score is None for item in found):
            raise NotOffered("no natural-language search")
        return found

    async def sweep(self) -> None:
        """Delete what has expired, where the store has ``sweep_ttl`` to ask it to."""
        sweep = getattr(self.store, "sweep_ttl", None)
        if sweep is None:
            return
        done = sweep() if inspect.iscoroutinefunction(sweep) else await asyncio.to_thread(sweep)
        if inspect.isawaitable(done):
            await done

    async def _call(self, method: str, *args: Any, **options: Any) -> Any:
        if self.face == "async":
            return await getattr(self.store, f"a{method}")(*args, **options)
        return await asyncio.to_thread(getattr(self.store, method), *args, **options)
