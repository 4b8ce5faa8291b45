"""Checks of the time to live. LangGraph counts it in minutes; some stores keep time in whole seconds."""

from __future__ import annotations

import asyncio
import time

from memupdate.integrations.conformance.calls import Calls
from memupdate.integrations.conformance.check import check

TTL = "PutOp.ttl: 'the item will expire this many minutes after it was last accessed'"
REFRESH = "PutOp.ttl: 'The expiration timer refreshes on both read operations (get/search) and write operations'"
UNSUPPORTED = "BaseStore: 'Subclasses must explicitly set `supports_ttl = True`'; put: NotImplementedError"

_DEADLINE_S = 8.0
_TWO_SECONDS = 2.0 / 60.0


async def _expires(store: Calls, key: str) -> bool:
    """Returns whether sweeps remove the item before the deadline. The item is read without refreshing it."""
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        await store.sweep()
        if await store.get(("n",), key, refresh_ttl=False) is None:
            return True
        await asyncio.sleep(0.1)
    return False


@check("time to live", TTL + "; GetOp.refresh_ttl: 'Whether to refresh TTLs for the returned item'")
async def an_item_expires_and_others_stay(store: Calls) -> None:
    store.require_ttl()
    await store.put(("n",), "short", {"text": "short"}, ttl=0.5 / 60.0)
    await store.put(("n",), "long", {"text": "long"}, ttl=60.0)
    await store.put(("n",), "ever", {"text": "ever"}, ttl=None)
    assert await store.get(("n",), "short", refresh_ttl=False) is not None
    assert await _expires(store, "short")
    assert await store.keys(("n",)) == ["ever", "long"]


@check("time to live", REFRESH)
async def reading_an_item_prolongs_its_life(store: Calls) -> None:
    store.require_ttl()
    await store.put(("n",), "got", {"text": "got"}, ttl=_TWO_SECONDS)
    await store.put(("m",), "found", {"text": "found"}, ttl=_TWO_SECONDS)
    for _ in range(8):
        await asyncio.sleep(0.4)
        assert await store.get(("n",), "got", refresh_ttl=True) is not None
        assert len(await store.search(("m",), refresh_ttl=True)) == 1
        await store.sweep()


@check("time to live", REFRESH)
async def a_write_starts_the_life_anew(store: Calls) -> None:
    store.require_ttl()
    await store.put(("n",), "k", {"text": "mortal"}, ttl=0.5 / 60.0)
    await store.put(("n",), "k", {"text": "immortal"}, ttl=None)
    await store.put(("n",), "mark", {"text": "mortal"}, ttl=0.5 / 60.0)
    assert await _expires(store, "mark")
    item = await store.get(("n",), "k")
    assert item is not None and item.value == {"text": "immortal"}


@check("time to live", UNSUPPORTED)
async def the_store_says_whether_it_takes_a_time_to_live(store: Calls) -> None:
    if store.store.supports_ttl:
        await store.put(("n",), "k", {"text": "mortal"}, ttl=60.0)
        return
    try:
        await store.put(("n",), "k", {"text": "mortal"}, ttl=60.0)
    except NotImplementedError:
        return
    raise AssertionError("supports_ttl is False, and a time to live was taken")
