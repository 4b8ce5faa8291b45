"""Checks with many concurrent callers: threads for the synchronous face, tasks for the asynchronous one."""

from __future__ import annotations

import asyncio
import contextlib

from memupdate.integrations.conformance.calls import Calls, NotOffered
from memupdate.integrations.conformance.check import check

SHARED = "store.base: 'Stores provide long-term memory that persists across threads and conversations.'"
WHOLE = "PutOp: 'a single operation to modify the store's contents'"


@check("concurrency", SHARED)
async def writers_of_different_keys_lose_nothing(store: Calls) -> None:
    async def write(writer: int) -> None:
        for at in range(10):
            await store.put(("n", str(writer % 3)), f"{writer}-{at}", {"writer": writer, "at": at})

    await asyncio.gather(*(write(writer) for writer in range(12)))
    items = await store.search(("n",), limit=1000)
    assert len(items) == 120
    assert all(item.key == f"{item.value['writer']}-{item.value['at']}" for item in items)


@check("concurrency", WHOLE)
async def of_writers_of_one_key_one_wins_whole(store: Calls) -> None:
    await asyncio.gather(*(store.put(("n",), "k", {"a": at, "b": [at] * 50}) for at in range(40)))
    items = await store.search(("n",), limit=10)
    assert len(items) == 1
    value = items[0].value
    assert value["b"] == [value["a"]] * 50


@check("concurrency", WHOLE)
async def readers_see_whole_values_while_others_write(store: Calls) -> None:
    await store.put(("n",), "k", {"a": -1, "b": [-1] * 20})

    async def read() -> None:
        for _ in range(15):
            item = await store.get(("n",), "k")
            assert item is not None and item.value["b"] == [item.value["a"]] * 20

    async def write() -> None:
        for at in range(15):
            await store.put(("n",), "k", {"a": at, "b": [at] * 20})

    await asyncio.gather(*(read() for _ in range(4)), write(), write())


@check("concurrency", SHARED)
async def searches_and_listings_work_while_others_write_and_delete(store: Calls) -> None:
    async def churn(name: str) -> None:
        for at in range(12):
            await store.put((name, str(at)), "k", {"in": name})
            await store.delete((name, str(at - 1)), "k")

    async def look() -> None:
        for _ in range(12):
            assert all(item.namespace[0] == item.value["in"] for item in await store.search((), limit=100))
            await store.list_namespaces(max_depth=1)

    await asyncio.gather(churn("a"), churn("b"), look(), look())
    assert sorted(item.namespace for item in await store.search((), limit=100)) == [("a", "11"), ("b", "11")]


@check("concurrency", "BaseStore.abatch is a coroutine: its task may be cancelled; PutOp is 'a single operation'")
async def a_cancelled_put_is_whole_or_absent_and_harms_no_other(store: Calls) -> None:
    if store.face == "sync":
        raise NotOffered("a thread cannot be cancelled")
    doomed = [asyncio.create_task(store.put(("n",), f"c{at}", {"at": at, "text": "tea"})) for at in range(20)]
    others = [asyncio.create_task(store.put(("n",), f"o{at}", {"at": at, "text": "tea"})) for at in range(20)]
    for at, task in enumerate(doomed):
        for _ in range(at % 4):
            await asyncio.sleep(0)
        task.cancel()
    for task in doomed:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await asyncio.gather(*others)
    await store.put(("n",), "after", {"at": 0, "text": "tea"})
    items = {item.key: item.value for item in await store.search(("n",), limit=100)}
    assert {"after", *(f"o{at}" for at in range(20))} <= items.keys()
    assert all(value == {"at": int(key[1:]), "text": "tea"} for key, value in items.items() if key != "after")
