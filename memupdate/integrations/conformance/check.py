"""A check of a store: its name, what promises it, and how it is run."""

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
    """One promise.

    Attributes:
        area: the group that it is shown in.
        name: what must hold, in words joined by underscores.
        promise: where LangGraph documents it, and what is said there.
        body: raises AssertionError where it does not hold.
    """

    area: str
    name: str
    promise: str
    body: Body


CHECKS: list[Check] = []


def check(area: str, promise: str) -> Callable[[Body], Body]:
    """Registers a coroutine function as a check under its own name."""

    def register(body: Body) -> Body:
        CHECKS.append(Check(area, body.__name__, promise, body))
        return body

    return register


def run_check(one: Check, face: str, factory: Factory) -> None:
    """Runs a check on a fresh store.

    Args:
        one: the check.
        face: one of ``FACES``: through the store's synchronous or its asynchronous methods.
        factory: returns an empty store, or a context manager (synchronous or not) that gives one. For the checks of
            natural-language queries the store needs ``index={"fields": ["text"], …}``.

    Raises:
        AssertionError: the promise does not hold.
        NotOffered: the store does not offer what the check is about.
        TimeoutError: it took longer than a minute.
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
