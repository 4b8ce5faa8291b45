"""A real run is asked to stop, and started again: Ray, FSDP2, the torch server, W&B offline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import ray

from memupdate.platform.checkpoints import checkpoint_digests, complete_checkpoints
from memupdate.platform.metrics import MetricsFile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DEADLINE_S = 300
STEPS = 4
SETTINGS = [
    "data.train_batch_size=2",
    "actor_rollout_ref.actor.ppo_mini_batch_size=2",
    "actor_rollout_ref.rollout.n=2",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.name=torch",
    "actor_rollout_ref.rollout.dtype=float64",
    "actor_rollout_ref.actor.entropy_coeff=0.01",
    "data.max_response_length=160",
    "data.val_max_samples=2",
    f"trainer.total_training_steps={STEPS}",
    "trainer.save_freq=100",
    f"trainer.test_freq={STEPS}",
]


@dataclass(frozen=True)
class Command:
    """``memupdate run`` in a folder of its own."""

    run_dir: Path
    words: tuple[str, ...]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    def end(self) -> None:
        done = subprocess.run(
            self.words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:]

    def wait_for_lease(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not (self.run_dir / "lease.json").is_file():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)

    def wait_for_step(self, process: subprocess.Popen[str], step: int) -> None:
        deadline = time.monotonic() + DEADLINE_S
        metrics = MetricsFile(self.run_dir / "metrics.jsonl")
        while not (metrics.path.is_file() and any(line["step"] >= step for line in metrics.read())):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)

    def processes(self) -> list[int]:
        """The pids of all processes on this machine that carry the run's lease in their environment."""
        token = json.loads((self.run_dir / "lease.json").read_text())["token"].encode()
        return [process.pid for process in psutil.process_iter() if token in environment_of(process.pid)]


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="module")
def commands(synthetic_data: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Command]:
    runs = tmp_path_factory.mktemp("lifecycle")
    program = [sys.executable, "-m", "memupdate", "run", "--locomo", str(synthetic_data.parent / "corpus.json")]
    return {
        name: Command(
            runs / name,
            (
                *(*program, "--runs", str(runs), "--run-dir", str(runs / name)),
                *("--", f"actor_rollout_ref.model.path={tiny_model}", *SETTINGS),
            ),
        )
        for name in ("whole", "stopped")
    }


@pytest.fixture(scope="module")
def stopped(commands: dict[str, Command]) -> Iterator[tuple[Command, subprocess.Popen[str], list[int]]]:
    """A run that got SIGTERM after its first step, and the pids that it had."""
    command = commands["stopped"]
    process = command.start()
    try:
        command.wait_for_lease(process)
        second = subprocess.run(command.words, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert second.returncode == 2
        assert f"held by process {process.pid} on " in second.stderr
        command.wait_for_step(process, 1)
        pids = command.processes()
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=DEADLINE_S)
        yield command, process, pids
    finally:
        process.kill()
        process.communicate()


def test_sigterm_writes_a_checkpoint_ends_every_process_and_exits_with_75(
    stopped: tuple[Command, subprocess.Popen[str], list[int]],
) -> None:
    command, process, pids = stopped
    assert process.returncode == 75
    assert len(pids) > 8  # supervisor, driver, Ray's daemons and workers
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    [checkpoint] = complete_checkpoints(command.run_dir / "checkpoints")
    assert 1 <= int(checkpoint.name.removeprefix("global_step_")) < STEPS
    assert not (command.run_dir / "lease.json").exists()


def test_a_stopped_run_continues_to_the_same_state_under_the_same_wandb_id(
    stopped: tuple[Command, subprocess.Popen[str], list[int]], commands: dict[str, Command]
) -> None:
    command = stopped[0]
    command.end()
    commands["whole"].end()
    newest = [complete_checkpoints(one.run_dir / "checkpoints")[-1] for one in (command, commands["whole"])]
    assert [folder.name for folder in newest] == [f"global_step_{STEPS}"] * 2
    assert checkpoint_digests(newest[0]) == checkpoint_digests(newest[1])
    ids = [folder.name.rsplit("-", 1)[1] for folder in (command.run_dir / "wandb").glob("offline-run-*")]
    assert len(ids) == 2 and set(ids) == {(command.run_dir / "wandb-id").read_text().strip()}


FORWARDING = """
import os, sys
import ray
from omegaconf import OmegaConf
from memupdate.platform.processes import start_ray
config = OmegaConf.create({
    "memory": {"threads": 1, "trainer_threads": 1, "batch_invariant": False, "run_dir": sys.argv[1],
               "forward_env": ["WANDB_*", "NCCL_*"]},
    "actor_rollout_ref": {"actor": {"strategy": "fsdp2"}, "rollout": {"full_determinism": False}},
    "global_profiler": {"tool": None},
    "ray_kwargs": {"ray_init": {"runtime_env": {"env_vars": {"MINE": "1", "NCCL_DEBUG": "INFO"}}}},
})
start_ray(config, "memory")

@ray.remote(num_cpus=0)
def variables():
    names = ("WANDB_API_KEY", "NCCL_IB_HCA", "NCCL_DEBUG", "MINE", "OTHER_SECRET", "MEMUPDATE_TRAINER_THREADS")
    return [os.environ.get(name) for name in names]

print("FOUND", ray.get(variables.remote()))
"""


def test_variables_reach_the_workers_of_a_cluster_that_was_there_before_and_no_log(
    ray_session: None, tmp_path: Path
) -> None:
    secret = f"key-{os.urandom(8).hex()}"
    given = {"WANDB_API_KEY": secret, "NCCL_IB_HCA": "mlx5", "NCCL_DEBUG": "TRACE", "OTHER_SECRET": "x"}
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-c", FORWARDING, str(tmp_path)],
        env={**os.environ, **given, "RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert "FOUND [" + repr(secret) + ", 'mlx5', 'INFO', '1', None, '1']" in done.stdout, done.stderr[-3000:]
    assert ray.is_initialized() and ray.cluster_resources()  # the cluster is left alone
    logs = Path(ray._private.worker.global_worker.node.get_logs_dir_path())
    assert not [path for path in logs.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
