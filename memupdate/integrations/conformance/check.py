"""Checks of a store: their definition, their registration, and how one is run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from langgraph.store.base import BaseStore

from memupdate.integrations.conformance.calls import FACES, Calls, NotOffered

__all__ = ["CHECKS", "FACES", "Check", "Factory", "NotOffered", "check", "run_check"]

Factory = Callable[[], Any]
Body = Callable[[Calls], Awaitable[None]]

_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """A check of one documented promise.

    Attributes:
        area: the check's group in a report.
        name: what must hold, in words joined by underscores.
        promise: the place in LangGraph's documentation, and a quotation from it.
        body: the coroutine function of the check. It raises AssertionError if the promise does not hold.
    """

    area: str
    name: str
    promise: str
    body: Body


CHECKS: list[Check] = []


def check(area: str, promise: str) -> Callable[[Body], Body]:
    """Returns a decorator that registers a coroutine function as a check under the function's name."""

    def register(body: Body) -> Body:
        CHECKS.append(Check(area, body.__name__, promise, body))
        return body

    return register


def run_check(one: Check, face: str, factory: Factory) -> None:
    """Runs a check on a fresh store.

    Args:
        one: the check.
        face: one of ``FACES``: ``sync`` or ``async`` methods of the store.
        factory: returns an empty store, or a synchronous or asynchronous context manager that gives one. The checks of
            natural-language queries need a store with ``index={"fields": ["text"], …}``.

    Raises:
        AssertionError: the promise does not hold.
        NotOffered: the store does not offer the checked feature.
        TimeoutError: the check took longer than a minute.
        TypeError: the factory returned neither a store nor a context manager.
    """

    async def run() -> None:
        async with _opened(factory) as store:
            calls = Calls(store, face)
            await calls.require_face()
            await one.body(calls)

    asyncio.run(asyncio.wait_for(run(), _DEADLINE_S))


@asynccontextmanager
async def _opened(factory: Factory) -> AsyncIterator[BaseStore]:
    made = factory()
    if isinstance(made, BaseStore):
        yield made
    elif isinstance(made, AbstractAsyncContextManager):
        async with made as store:
            yield store
    elif isinstance(made, AbstractContextManager):
        with made as store:
            yield store
    else:
        raise TypeError(f"the factory gave a {type(made).__name__}, not a BaseStore or a context manager of one")
