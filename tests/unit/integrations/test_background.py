"""The background loop of the integrations, when callers go away."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

import pytest

from memupdate.integrations import background


def test_an_exception_of_work_whose_caller_went_away_is_not_logged_as_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, may_fail = threading.Event(), threading.Event()
    submitted: list[Future[Any]] = []
    submit = background.submit

    def recorded(work: Coroutine[Any, Any, Any]) -> Future[Any]:
        submitted.append(submit(work))
        return submitted[-1]

    async def fails() -> None:
        begun.set()
        assert await asyncio.to_thread(may_fail.wait, 10)
        raise ConnectionError("the bank is gone")

    async def scenario() -> None:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        caller = asyncio.create_task(background.relay(fails()))
        assert await asyncio.to_thread(begun.wait, 10)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        # Callbacks run in the order in which they were added, so this one comes after the relay's own.
        submitted[0].add_done_callback(lambda _: loop.call_soon_threadsafe(arrived.set))
        may_fail.set()
        await asyncio.wait_for(arrived.wait(), 10)

    monkeypatch.setattr(background, "submit", recorded)
    asyncio.run(scenario())
    assert isinstance(submitted.pop().exception(), ConnectionError)
    gc.collect()
    assert "never retrieved" not in caplog.text
