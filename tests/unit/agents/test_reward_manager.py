"""The reward manager as verl drives it, without Ray: rows U26, U28, U33, U37.

Rows U26, U28, U32, U33, U37.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process_broker import in_process_client, write_conversation
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto

from memupdate.broker import MemoryStoreManager
from memupdate.errors import FieldError
from memupdate.failures import FailureLog
from memupdate.memory import Operation
from memupdate.rewards import ERROR_REWARD, MemoryRewardManager
from memupdate.tools import TrajectoryCounts

QUESTION, ANSWER = "What is Ana afraid of?", "spiders"


class Desk:
    """A manager with its broker."""

    def __init__(self, client: MemoryStoreManager, **reward: Any) -> None:
        self.client = client
        config = OmegaConf.create(
            {"memory": {"broker_name": "b", "reward": {"scorer": "overlap", "formula": "monotone", **reward}}}
        )
        self.manager = MemoryRewardManager(config=config, tokenizer=None, compute_score=None)

    async def trajectory(self, namespace: str, *operations: Operation) -> None:
        await self.client.open(namespace, "conv-a")
        for outcome in await self.client.run(namespace, operations):
            assert outcome.error == ""

    async def score(self, *namespaces: str, **extra_info: Any) -> dict[str, Any]:
        return await self.manager.run_single(rows(*namespaces, **extra_info))


def rows(*namespaces: str, counts: TrajectoryCounts | None = None, **changes: Any) -> DataProto:
    """What ``AgentLoopWorker._compute_score`` sends: a row for each segment of one trajectory."""
    n = len(namespaces)
    extra_info = {"question": QUESTION, "answer": ANSWER, "category": 4} | changes
    fields = [{"namespace": namespace, **(counts or TrajectoryCounts(turns=5)).to_fields()} for namespace in namespaces]
    return DataProto(
        batch=TensorDict({"responses": torch.zeros(n, 2, dtype=torch.int64)}, batch_size=n),
        non_tensor_batch={
            "extra_info": np.array([extra_info] * n),
            "reward_model": np.array([{"ground_truth": ANSWER}] * n),
            "tool_extra_fields": np.array(fields, dtype=object),
        },
    )


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Desk]:
    write_conversation(tmp_path, "conv-a", ["Ana likes tea", "Ana sings", "Ana runs"])

    def make(**reward: Any) -> Desk:
        client = in_process_client(tmp_path)

        async def connect(name: str, deadline_s: float = 60.0) -> MemoryStoreManager:
            assert name == "b"
            return client

        monkeypatch.setattr(MemoryStoreManager, "connect", connect)
        return Desk(client, **reward)

    return make


ADD = Operation("create", {"content": "Ana is afraid of spiders"})


def test_u26_u28_the_parts_are_those_of_a_case_done_by_hand(desk: Callable[..., Desk]) -> None:
    async def scenario() -> dict[str, Any]:
        made = desk()
        await made.trajectory("t1", ADD)
        return await made.score("t1")

    scored = asyncio.run(scenario())
    info = scored["reward_extra_info"]
    # before: no answer token retrieved, floor 0.1; after: all of them, 1
    assert (info["qa_before"], info["qa_after"], info["delta"]) == pytest.approx((0.1, 1.0, 0.9))
    # 3 memories of 13, 9 and 8 characters, then a fourth of 24: cap 3, means 10 and 13.5
    assert info["size_factor"] == pytest.approx(1 - 1 / 3)
    assert info["density_factor"] == pytest.approx(1.2)
    assert info["change_factor"] == pytest.approx(1 - 0.5 / 3)
    assert info["efficiency"] == pytest.approx(2 / 3 * 1.2 * 5 / 6)
    assert scored["reward_score"] == info["reward"] == pytest.approx(0.9 * 2 / 3)
    assert info["reward_error"] == 0.0


def test_u28_an_untouched_bank_is_worth_nothing(desk: Callable[..., Desk]) -> None:
    async def scenario() -> dict[str, Any]:
        made = desk()
        await made.trajectory("t1")
        return await made.score("t1")

    assert asyncio.run(scenario())["reward_score"] == 0.0


def test_u32_the_configured_cap_counts(desk: Callable[..., Desk]) -> None:
    async def scenario() -> dict[str, Any]:
        made = desk(cap_mode="absolute", cap=100)
        await made.trajectory("t1", ADD)
        return await made.score("t1")

    assert asyncio.run(scenario())["reward_extra_info"]["size_factor"] == 1.0


def test_a_call_that_cannot_be_read_costs_training_score_and_no_reward(desk: Callable[..., Desk]) -> None:
    wrong = TrajectoryCounts(turns=5, malformed_calls=3, unknown_calls=1, ignored_calls=7)

    async def scenario(penalty: float) -> dict[str, Any]:
        made = desk(call_penalty=penalty)
        await made.trajectory("t1", ADD)
        return await made.manager.run_single(rows("t1", counts=wrong))

    for penalty in (0.0, 0.05):
        scored = asyncio.run(scenario(penalty))
        assert scored["reward_extra_info"]["reward"] == pytest.approx(0.9 * 2 / 3)
        assert scored["reward_score"] == pytest.approx(0.9 * 2 / 3 - 4 * penalty)


def test_u33_an_error_costs_its_own_item_and_is_counted(
    desk: Callable[..., Desk], caplog: pytest.LogCaptureFixture
) -> None:
    class Choosy:
        name = "choosy"

        def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
            if answer == "explode":
                raise ZeroDivisionError("the scorer broke")
            return float(any("spiders" in text for text in retrieved))

    async def scenario() -> None:
        made = desk()
        made.manager.scorer = Choosy()
        for namespace in ("t1", "t2", "t3", "t4"):
            await made.trajectory(namespace, ADD)
        with caplog.at_level(logging.ERROR):
            good, exploded, unknown, empty, also_good = await asyncio.gather(
                made.score("t1"),
                made.score("t2", answer="explode"),
                made.score("never opened"),
                made.score("t3", question=" "),
                made.score("t4"),
            )
        assert good == also_good
        assert good["reward_score"] > 0
        for failed in (exploded, unknown, empty):
            assert failed["reward_score"] == failed["reward_extra_info"]["reward"] == ERROR_REWARD == -0.1
            assert failed["reward_extra_info"]["reward_error"] == 1.0
            assert set(failed["reward_extra_info"]) == set(good["reward_extra_info"])
            assert failed["reward_extra_info"]["turns"] == 5.0
        assert made.manager.guard.count == 3
        assert "the scorer broke" in caplog.text
        assert "Traceback" in caplog.text
        assert await made.client.namespaces() == []  # closed, whatever happened

    asyncio.run(scenario())


def test_u33_the_error_of_an_item_is_in_the_run_s_folder(
    desk: Callable[..., Desk], tmp_path_factory: pytest.TempPathFactory
) -> None:
    run_dir = tmp_path_factory.mktemp("run")

    async def scenario() -> None:
        made = desk()
        config = OmegaConf.merge(made.manager.config, {"memory": {"run_dir": str(run_dir)}})
        made.manager = MemoryRewardManager(config=config, tokenizer=None)
        await made.trajectory("t1", ADD)
        await made.score("t1")
        await made.score("never opened")

    asyncio.run(scenario())
    [failure] = FailureLog(run_dir).since(0)
    assert failure.rollout == "never opened"
    assert failure.error.startswith("UnknownNamespaceError: ")


def test_u33_a_trajectory_that_reports_no_namespace_costs_itself(desk: Callable[..., Desk]) -> None:
    async def scenario() -> None:
        made = desk()
        data = rows("t1")
        del data.non_tensor_batch["tool_extra_fields"]
        scored = await made.manager.run_single(data)
        assert scored["reward_score"] == ERROR_REWARD
        await made.trajectory("t2")
        assert set(scored["reward_extra_info"]) == set((await made.score("t2"))["reward_extra_info"])

    asyncio.run(scenario())


def test_u37_what_is_logged_is_flat_floats(desk: Callable[..., Desk]) -> None:
    async def scenario() -> None:
        made = desk()
        await made.trajectory("t1", ADD)
        info = (await made.score("t1"))["reward_extra_info"]
        assert {type(value) for value in info.values()} == {float}
        assert info["category"] == 4.0
        parts = {"reward", "delta", "efficiency", "size_factor", "density_factor", "change_factor"}
        assert set(info) == {
            *parts,
            "qa_before",
            "qa_after",
            "reward_error",
            "category",
            *TrajectoryCounts().to_fields(),
        }

    asyncio.run(scenario())


def test_of_several_segments_the_last_one_counts(desk: Callable[..., Desk]) -> None:
    async def scenario() -> None:
        made = desk()
        await made.trajectory("t1", ADD)
        assert (await made.score("of an earlier segment", "t1"))["reward_score"] > 0

    asyncio.run(scenario())


def test_a_slow_scorer_does_not_hold_up_the_event_loop(desk: Callable[..., Desk]) -> None:
    released = threading.Event()

    class Slow:
        name = "slow"

        def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
            assert released.wait(timeout=10)
            return 1.0

    async def scenario() -> None:
        made = desk()
        made.manager.scorer = Slow()
        await made.trajectory("t1")
        scoring = asyncio.create_task(made.score("t1"))
        while "t1" in await made.client.namespaces():
            await asyncio.sleep(0)
        released.set()
        assert (await scoring)["reward_extra_info"]["reward_error"] == 0.0

    asyncio.run(scenario())


def test_the_default_reward_needs_the_folder_with_the_questions(desk: Callable[..., Desk]) -> None:
    with pytest.raises(FieldError, match=r"^memory\.data_dir: got None; allowed: the preprocessed folder"):
        desk(formula="budgeted")


def test_a_wrong_reward_section_is_named(desk: Callable[..., Desk]) -> None:
    with pytest.raises(FieldError, match=r"reward\.formula"):
        desk(formula="best")
