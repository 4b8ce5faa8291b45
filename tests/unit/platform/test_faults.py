"""Failed rollouts: they are recorded, they leave the batch, and too many of them end the run with the first cause."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker

from memupdate.errors import FieldError, RunStoppedError
from memupdate.failures import FailureLog
from memupdate.platform import faults as fault_module
from memupdate.platform import root_cause
from memupdate.platform.agent_workers import PlatformAgentLoopWorker, configure
from memupdate.platform.faults import RunFaults, rollouts_of, without_unscored
from memupdate.platform.limits import Limits, LostRolloutsError, TrajectoryDeadlineError
from memupdate.platform.watch import RunFaultError

LIMITS = Limits(trajectory_deadline_s=5, step_deadline_s=10, max_failed_rollouts=0.25)


@pytest.fixture
def faults(tmp_path: Path) -> RunFaults:
    made = RunFaults(tmp_path, LIMITS, "memory")
    made.begin_step(3, 8)
    return made


def test_failures_after_a_mark_are_read_and_a_half_written_one_is_not(tmp_path: Path) -> None:
    log = FailureLog(tmp_path)
    assert (log.size(), log.since(0)) == (0, [])
    log.append(1, "d0-r0", "KeyError: old")
    mark = log.size()
    log.append(2, "d1-r0", "KeyError: one\ntwo")
    with log.path.open("a") as file:
        file.write('{"step": 2, "roll')
    [failure] = log.since(mark)
    assert (failure.step, failure.rollout, failure.error) == (2, "d1-r0", "KeyError: one two")


def test_a_quarter_of_the_rollouts_may_fail_and_one_more_ends_the_run(faults: RunFaults, tmp_path: Path) -> None:
    log = FailureLog(tmp_path)
    faults.check_lost(6, 8)
    for number in range(2):
        log.append(3, f"d0-r{number}", f"KeyError: number {number}")
        log.append(3, f"d0-r{number}", "the same rollout again")
        faults.check()
    log.append(3, "d0-r2", "KeyError: number 2")
    with pytest.raises(LostRolloutsError, match=r"^step 3: 3 of 8 .*share of 0\.25; the first: KeyError: number 0 \("):
        faults.check()
    faults.begin_step(4, 8)  # a step's failures are its own
    faults.check()
    with pytest.raises(LostRolloutsError, match=r"step 4: 8 of 8 .*names none of them"):
        faults.check_lost(0, 8)


def test_a_consequence_is_told_as_its_cause(faults: RunFaults, tmp_path: Path) -> None:
    for number in range(8):
        FailureLog(tmp_path).append(3, f"d0-r{number}", "MemupdateError: judge: no reply within deadline_s = 60")
    with pytest.raises(LostRolloutsError), faults.reported():
        raise RuntimeError("Sync replay buffer selected terminal groups with no materializable trajectories.")
    cause = root_cause.read(tmp_path)
    assert cause is not None
    assert "judge: no reply within deadline_s = 60" in cause.what
    with pytest.raises(RunFaultError, match="no reply"):  # nothing begins after a fault
        faults.begin_step(4, 8)


def test_an_error_without_another_cause_is_the_cause(faults: RunFaults, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), faults.reported():
        raise ZeroDivisionError("a plain bug")
    cause = root_cause.read(tmp_path)
    assert cause is not None
    assert cause.what == "ZeroDivisionError: a plain bug"


def test_a_run_that_was_asked_to_stop_has_no_cause(faults: RunFaults, tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError), faults.reported():
        raise RunStoppedError("stopped")
    assert root_cause.read(tmp_path) is None


def test_no_score_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rollouts with a placeholder for a score leave the batch and the queue, with all their segments."""
    errors = {"d0_0_0": 0.0, "d0_1_0": 1.0, "d0_1_1": 1.0, "d1_0_0": None}
    cleared: list[str] = []

    def kv_batch_get(keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, Any]:
        column = np.empty(len(keys), dtype=object)
        infos = [{} if errors[key] is None else {"reward_error": errors[key]} for key in keys]
        column[:] = [{"reward_extra_info": info} for info in infos]
        return {select_fields[0]: column}

    monkeypatch.setattr(fault_module.tq, "kv_batch_get", kv_batch_get)
    monkeypatch.setattr(fault_module.tq, "kv_clear", lambda keys, partition_id: cleared.extend(keys))
    batch = KVBatchMeta(partition_id="train", keys=list(errors), tags=[{"seq_len": n} for n in range(4)])
    kept, unscored = without_unscored(batch)
    assert (kept.keys, kept.tags) == (["d0_0_0", "d1_0_0"], [{"seq_len": 0}, {"seq_len": 3}])
    assert unscored == 1
    assert cleared == ["d0_1_0", "d0_1_1"]
    assert rollouts_of(kept) == {("d0", 0), ("d1", 0)}
    assert without_unscored(kept)[1] == 0


def worker(run_dir: Path, deadline_s: float) -> PlatformAgentLoopWorker:
    """An agent loop worker without verl's set-up."""
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": {"agent": {}}}})
    configure(config, run_dir, Limits(deadline_s, 10, 0.0))
    made: PlatformAgentLoopWorker = object.__new__(PlatformAgentLoopWorker)
    made.read_settings(config)
    return made


def test_another_manager_of_agent_loops_would_have_no_deadline_and_is_refused(tmp_path: Path) -> None:
    agent = {"agent_loop_manager_class": "mine.Manager"}
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": {"agent": agent}}})
    with pytest.raises(FieldError, match="agent_loop_manager_class"):
        configure(config, tmp_path, LIMITS)


@pytest.mark.parametrize(
    ("ends", "error", "told"),
    [
        (None, TrajectoryDeadlineError, "a rollout took longer than trajectory_deadline_s"),
        (TimeoutError("of a socket"), TimeoutError, "TimeoutError: of a socket"),
        (ValueError("broken"), ValueError, "ValueError: broken"),
    ],
)
def test_a_rollout_that_hangs_or_fails_is_recorded(
    ends: Exception | None, error: type[Exception], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = []

    async def rollout(self: Any, *args: Any, **kwargs: Any) -> None:
        if ends is not None:
            raise ends
        try:
            await asyncio.Event().wait()  # for ever
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    monkeypatch.setattr(AgentLoopWorker, "_run_agent_loop", rollout)
    made = worker(tmp_path, deadline_s=0.05)
    with pytest.raises(error):
        asyncio.run(made._run_agent_loop({}, {"step": 7}, agent_name="a", uid="d5", session_id=2))
    [failure] = FailureLog(tmp_path).since(0)
    assert (failure.step, failure.rollout) == (7, "d5-r2")
    assert failure.error.startswith(told)
    assert cancelled == ([True] if ends is None else [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"trajectory_deadline_s": None}, "trajectory_deadline_s"),
        ({"step_deadline_s": -1}, "step_deadline_s"),
        ({"step_deadline_s": 1}, "step_deadline_s"),
        ({"max_failed_rollouts": 1}, "max_failed_rollouts"),
        ({"max_failed_rollouts": True}, "max_failed_rollouts"),
    ],
)
def test_a_limit_that_is_not_allowed_names_itself(change: dict[str, Any], field: str) -> None:
    good = {"trajectory_deadline_s": 5, "step_deadline_s": 10, "max_failed_rollouts": 0.25}
    assert Limits.of(good, "memgen") == LIMITS
    with pytest.raises(FieldError) as raised:
        Limits.of({**good, **change}, "memgen")
    assert raised.value.field == f"memgen.{field}"


def test_a_validation_has_the_time_of_the_steps_it_is_as_large_as(
    faults: RunFaults, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[tuple[str, float]] = []
    monkeypatch.setattr(faults.watch, "allow", lambda what, seconds: allowed.append((what, seconds)))
    faults.begin_validation(3, rollouts=17, rollouts_per_step=8)
    faults.begin_step(4, 8)
    assert allowed == [("validation of step 3 (memory.step_deadline_s)", 30), ("step 4 (memory.step_deadline_s)", 10)]


def test_the_actors_of_a_run_are_all_watched() -> None:
    trainer = SimpleNamespace(
        actor_rollout_wg=SimpleNamespace(workers=["t0", "t1"]),
        llm_server_manager=SimpleNamespace(
            get_replicas=lambda: [SimpleNamespace(replica_rank=0, servers=["s0"])], global_load_balancer="no actor"
        ),
        reward_loop_manager=SimpleNamespace(reward_loop_workers=["r0", "r1"]),
    )
    watched = fault_module.actors_of(trainer, SimpleNamespace(agent_loop_workers=["a0"]))
    assert [(one.name, one.handle, one.engine) for one in watched] == [
        ("training worker/0", "t0", False),
        ("training worker/1", "t1", False),
        ("rollout server 0/0", "s0", True),
        ("reward worker/0", "r0", False),
        ("reward worker/1", "r1", False),
        ("agent loop worker/0", "a0", False),
    ]
