"""Errors of single items.

Rows U26, U33.
"""

from __future__ import annotations

import asyncio
import logging

import pytest

from memupdate.errors import DataError, FieldError
from memupdate.rewards import ERROR_REWARD, RewardGuard, RewardOutcome, RewardParts

PARTS = RewardParts(
    reward=0.4,
    delta=0.5,
    efficiency=0.8,
    size_factor=1.0,
    density_factor=1.0,
    change_factor=0.8,
    qa_before=0.2,
    qa_after=0.7,
)


def fail() -> RewardParts:
    raise DataError("the bank is gone")


def test_u33_an_error_costs_its_item_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    guard = RewardGuard()
    with caplog.at_level(logging.ERROR):
        outcomes = [
            guard.run("conv-1-qa0", lambda: PARTS),
            guard.run("conv-1-qa1", fail),
            guard.run("conv-1-qa2", lambda: PARTS),
        ]
    assert ERROR_REWARD == -0.1
    assert [outcome.reward for outcome in outcomes] == [0.4, -0.1, 0.4]
    assert outcomes[1] == RewardOutcome(None, "DataError: the bank is gone")
    assert (guard.count, dict(guard.errors)) == (1, {"DataError": 1})
    assert "conv-1-qa1" in caplog.text and "the bank is gone" in caplog.text


def test_u33_errors_of_awaited_rewards_are_counted_and_cancellation_is_not() -> None:
    async def broken() -> RewardParts:
        raise FieldError("question", "", "text")

    async def good() -> RewardParts:
        return PARTS

    async def cancelled() -> RewardParts:
        raise asyncio.CancelledError

    async def both(guard: RewardGuard) -> list[RewardOutcome]:
        return list(await asyncio.gather(guard.run_async("a", broken), guard.run_async("b", good)))

    guard = RewardGuard()
    assert [outcome.reward for outcome in asyncio.run(both(guard))] == [-0.1, 0.4]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(guard.run_async("c", cancelled))
    assert dict(guard.errors) == {"FieldError": 1}


def test_u26_u33_outcomes_have_the_same_columns() -> None:
    good, bad = RewardOutcome(PARTS).to_dict(), RewardOutcome(None, "x").to_dict()
    assert list(good) == list(bad)
    assert good == {**PARTS.to_dict(), "reward_error": 0.0}
    assert (bad["reward"], bad["reward_error"], bad["efficiency"]) == (-0.1, 1.0, 0.0)
