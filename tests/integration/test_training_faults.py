"""A training run fails closed: a killed process, a dead judge or a hung rollout ends it, with the first cause.

The runs are real: Ray, verl's trainer and workers, the torch server, the broker. The policy is untrained, because only
the end of a run is looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow
import pytest
import ray
from pyarrow import parquet
from ray.exceptions import RayActorError

from memupdate.failures import FailureLog
from memupdate.platform import config as run_config
from memupdate.platform import root_cause
from memupdate.platform.faults import RunFaults
from memupdate.platform.limits import Limits
from memupdate.platform.metrics import MetricsFile
from memupdate.platform.stages import StageError, run_stage
from memupdate.platform.watch import RunFaultError, RunWatch, Watched
from memupdate.run.preflight import validate
from memupdate.run.profiles import compose_profile

DEADLINE_S = 30.0
FOR_EVER_S = 1e6


def until(true: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, "nothing happened before the deadline"
        time.sleep(0.02)


class Worker:
    """An actor like verl's: it works for long, and it may have engine processes."""

    def pid(self) -> int:
        return os.getpid()

    def work(self, seconds: float) -> None:
        time.sleep(seconds)

    def start_engine(self) -> int:
        """Starts a process with the name that SGLang gives its scheduler."""
        code = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'sglang::schedul', 0, 0, 0); time.sleep(600)"
        self.engine = subprocess.Popen([sys.executable, "-c", code])
        until(lambda: psutil.Process(self.engine.pid).name().startswith("sglang"))
        return self.engine.pid

    def hang_after_a_fault(self, run_dir: str, broken: list[Any]) -> None:
        """Watches a dead actor, and then waits for something that never comes."""
        watch = RunWatch(Path(run_dir), poll_s=0.05, grace_s=0.2)
        watch.start([Watched("a worker", broken[0])])
        time.sleep(600)


@pytest.fixture
def actor(ray_session: None) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import a test

    def make(**options: Any) -> Any:
        made.append(ray.remote(Worker).options(num_cpus=0, **options).remote())
        return made[-1]

    yield make
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    for one in made:
        ray.kill(one)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[RunWatch]:
    made = RunWatch(tmp_path, poll_s=0.05, grace_s=FOR_EVER_S)  # the test's own process must not exit
    yield made
    made.stop()


def fault(watch: RunWatch) -> str:
    """Waits for the watch to find a fault."""
    found = ""

    def there() -> bool:
        nonlocal found
        try:
            watch.check()
        except RunFaultError as error:
            found = str(error)
        return bool(found)

    until(there)
    return found


def test_a_killed_actor_is_found_and_named(actor: Callable[..., Any], watch: RunWatch, tmp_path: Path) -> None:
    healthy, victim = actor(), actor()
    pid = ray.get(victim.pid.remote())
    watch.start([Watched("reward worker/0", healthy), Watched("reward worker/1", victim)])
    until(lambda: all(probe.known for probe in watch.probes))
    os.kill(pid, signal.SIGKILL)
    told = fault(watch)
    assert told.startswith(f"reward worker/1 (pid {pid} on {os.uname().nodename}, log ")
    assert "has died" in told
    log = Path(told.partition(", log ")[2].partition(")")[0])
    assert log.is_file()
    assert str(pid) in log.name
    cause = root_cause.read(tmp_path)
    assert cause is not None
    assert cause.what == told


def test_an_error_that_comes_before_the_watch_has_looked_is_told_with_its_cause(
    actor: Callable[..., Any], tmp_path: Path
) -> None:
    """The trainer calls a dead worker, or misses its rollouts, before the watch has found that it is dead."""
    faults = RunFaults(tmp_path, Limits(60.0, 60.0, 0.0), "memory")
    faults.watch = RunWatch(tmp_path, poll_s=0.3, grace_s=FOR_EVER_S)  # the test's own process must not exit
    victim = actor()
    pid = ray.get(victim.pid.remote())
    faults.watch.start([Watched("victim", victim)])
    until(lambda: faults.watch.probes[0].known is not None)
    faults.begin_step(1, rollouts=1)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(RunFaultError, match=rf"^victim \(pid {pid} on .* has died"), faults.reported():
        ray.get(victim.pid.remote())
    with pytest.raises(RunFaultError, match=r"^victim "):
        faults.check_lost(0, 1)
    cause = root_cause.read(tmp_path)
    assert cause is not None and cause.what.startswith(f"victim (pid {pid} on ")


def test_an_actor_that_ray_restarts_or_that_is_busy_is_no_fault(actor: Callable[..., Any], watch: RunWatch) -> None:
    restarted, busy, victim = actor(max_restarts=-1), actor(), actor()
    pid = ray.get(restarted.pid.remote())
    watch.start([Watched("restarted", restarted), Watched("busy", busy), Watched("victim", victim)])
    until(lambda: all(probe.known for probe in watch.probes))
    busy.work.remote(600)
    os.kill(pid, signal.SIGKILL)
    until(lambda: watch.probes[0].known.pid != pid)  # type: ignore[union-attr]
    watch.check()
    os.kill(ray.get(victim.pid.remote()), signal.SIGKILL)
    assert fault(watch).startswith("victim (pid ")


def test_a_server_that_lost_its_engine_process_is_found(actor: Callable[..., Any], watch: RunWatch) -> None:
    """As stock SGLang's: the actor lives, its scheduler was killed, and no request would ever be answered."""
    server = actor()
    engine = ray.get(server.start_engine.remote())
    watch.start([Watched("rollout server 0/0", server, engine=True)])
    until(lambda: all(probe.known for probe in watch.probes))
    os.kill(engine, signal.SIGKILL)
    assert fault(watch).endswith(f"has lost its engine process {engine}")


def test_a_step_that_passes_its_deadline_is_a_fault(ray_session: None, watch: RunWatch) -> None:
    watch.start([])
    watch.allow("step 4 (memory.step_deadline_s)", FOR_EVER_S)
    watch.allow("step 5 (memory.step_deadline_s)", 0.1)
    assert fault(watch) == "step 5 (memory.step_deadline_s) took longer than its deadline of 0.1 s"


def test_a_trainer_that_hangs_after_a_fault_is_ended(actor: Callable[..., Any], tmp_path: Path) -> None:
    broken, hanging = actor(), actor()
    ray.kill(broken)
    with pytest.raises(RayActorError):
        ray.get(hanging.hang_after_a_fault.remote(str(tmp_path), [broken]), timeout=DEADLINE_S)
    cause = root_cause.read(tmp_path)
    assert cause is not None
    assert cause.what.startswith("a worker (")


# ---------------------------------------------------------------------- whole runs

SMALL = [
    "data.train_batch_size=4",
    "data.max_response_length=48",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.name=torch",
    "actor_rollout_ref.rollout.dtype=float64",
    "reward.num_workers=2",
    "trainer.logger=[console]",
    "trainer.val_before_train=false",
    "trainer.test_freq=-1",
    "trainer.save_freq=1",
    "trainer.total_training_steps=1000",
]
RUN_DEADLINE_S = 240.0


def compose(run_dir: Path, data: Path, model: Path, *overrides: str) -> list[str]:
    """Writes the config of a small run and returns the command that ``memupdate run`` starts with it."""
    given = [f"memory.run_dir={run_dir}", f"memory.data_dir={data}", f"actor_rollout_ref.model.path={model}"]
    config = compose_profile("local", [*given, *SMALL, *overrides])
    validate(config)
    run_config.save(config, run_dir / "config.yaml")
    return [sys.executable, "-m", "memupdate.run.grpo", str(run_dir / "config.yaml")]


def ended(command: list[str], run_dir: Path, look: Callable[[], None] = lambda: None) -> str:
    """Runs a training that must fail, and returns the line that says why."""
    end = time.monotonic() + RUN_DEADLINE_S

    def watch() -> None:
        look()
        if time.monotonic() > end:
            raise AssertionError(f"the run did not end: {(run_dir / 'train.log').read_text()[-3000:]}")

    with pytest.raises(StageError) as raised:
        run_stage(command, run_dir / "train.log", {}, watch)
    return str(raised.value).splitlines()[0]


def command_line(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Killer:
    """Kills a process of a run once, after a step, and measures how long the run lives on."""

    def __init__(self, run_dir: Path, role: str, after_step: int) -> None:
        self._metrics = MetricsFile(run_dir / "metrics.jsonl")
        self._role = role
        self._after_step = after_step
        self.pid = 0
        self.at = 0.0

    def __call__(self) -> None:
        if self.pid or not self._metrics.path.is_file():
            return
        if any(line["step"] >= self._after_step for line in self._metrics.read()):
            family = psutil.Process().children(recursive=True)
            victim = next(one for one in family if self._role in command_line(one))
            self.pid, self.at = victim.pid, time.monotonic()
            victim.kill()

    @property
    def lived_on_s(self) -> float:
        return time.monotonic() - self.at


def last_step(run_dir: Path) -> int:
    return max(int(line["step"]) for line in MetricsFile(run_dir / "metrics.jsonl").read())


def with_an_unscorable_question(data: Path) -> None:
    """Leaves four training rows, which make one step, and takes the question out of one of them."""
    file = data / "train.parquet"
    table = parquet.read_table(file)
    rows = table.slice(0, 4).to_pylist()
    rows[0]["extra_info"]["question"] = " "
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), file)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_whose_worker_is_killed_ends_says_who_and_resumes(
    synthetic_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """One run, started twice: first its agent loop worker is killed, then one of its two reward workers.

    In every step, one question in four cannot be scored. The run is allowed to go on without its rollouts.
    """
    data = Path(shutil.copytree(synthetic_data, tmp_path / "data"))
    old = ("memory.episode=question", "memory.reward.formula=monotone")  # whose rewards stay above the placeholder
    command = compose(tmp_path, data, tiny_model, "memory.max_failed_rollouts=0.25", *old)
    with_an_unscorable_question(data)
    agent = Killer(tmp_path, "ray::PlatformAgentLoopWorker", after_step=1)
    line = ended(command, tmp_path, agent)
    assert line.startswith(f"agent loop worker/0 (pid {agent.pid} on ")
    assert line.endswith(f"(log: {tmp_path / 'train.log'})")
    assert agent.lived_on_s < 60
    reached = last_step(tmp_path)
    reward = Killer(tmp_path, "ray::RewardLoopWorker", after_step=reached + 1)
    line = ended(command, tmp_path, reward)
    assert f"(pid {reward.pid} on " in line or f"pid: {reward.pid}" in line
    assert reward.lived_on_s < 60
    assert "resuming after step" in (tmp_path / "train.log").read_text(errors="replace")
    lines = MetricsFile(tmp_path / "metrics.jsonl").read()
    assert [line["step"] for line in lines] == list(range(1, last_step(tmp_path) + 1))
    for line in lines:  # no score, no gradient; and no step was trained on what a dead worker left
        assert (line["training/rollout_failures"], line["training/unscored_rollouts"]) == (4, 4)
        assert line["memory/reward_error"] == 0
        assert line["critic/score/min"] > -0.1  # the placeholder is not among what is trained on
    trained = (tmp_path / "trace" / "train-000001.jsonl").read_text().splitlines()
    assert len({json.loads(text)["key"] for text in trained}) == 12
    unscored = [failure for failure in FailureLog(tmp_path).since(0) if failure.step == 1]
    assert len({failure.rollout for failure in unscored}) == 4
    assert all("query: got ' '" in failure.error for failure in unscored)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_whose_judge_is_dead_ends_with_the_judge_s_error(
    synthetic_data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No score, no gradient: no step is trained on -0.1 for every rollout and on the call penalty."""
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    options = f"model: judge-1, base_url: 'http://127.0.0.1:9/v1', cache: {tmp_path}/replies.jsonl, deadline_s: 1"
    judge = f"{{name: judge, {options}}}"
    command = compose(tmp_path, synthetic_data, tiny_model, f"memory.reward.scorer={judge}")
    line = ended(command, tmp_path)
    assert "judge-1 at http://127.0.0.1:9/v1/: no reply within deadline_s = 1" in line
    assert "step 1:" in line
    assert not (tmp_path / "metrics.jsonl").exists()  # no step was trained
    assert len(FailureLog(tmp_path).since(0)) >= 1
