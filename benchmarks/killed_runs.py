"""Kills random processes of a small training run with SIGKILL, and starts the run again after each.

    python benchmarks/killed_runs.py [--kills N] [--seed S] [--quick] [--out FILE]

Each kind of process is killed before any is killed again. A run either goes on, because what died was started again, or
it ends. For each kill the results say how long the run lived on, the line that it ended with, and from which step the
next start resumed. After the last kill, the run is started once more and finishes.
"""

from __future__ import annotations

import contextlib
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import common
import psutil

from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import write_corpus
from memupdate.platform import config as run_config
from memupdate.platform.metrics import MetricsFile
from memupdate.platform.stages import StageError, run_stage
from memupdate.policy import make_policy
from memupdate.run.preflight import validate
from memupdate.run.profiles import compose_profile

# What is killed, and a part of its command line.
KINDS = {
    "supervisor": "memupdate.platform.supervisor",
    "driver": "memupdate.run.grpo",
    "task runner": "ray::TaskRunnerV1",
    "training worker": "ray::WorkerDict",
    "agent loop worker": "ray::PlatformAgentLoopWorker",
    "reward worker": "ray::RewardLoopWorker",
    "rollout server": "ray::TorchServer",
    "broker shard": "ray::BrokerShard",
    "queue controller": "ray::TransferQueueController",
    "queue storage": "ray::SimpleStorageUnit",
    "load balancer": "ray::GlobalRequestLoadBalancer",
    "raylet": "raylet/raylet",
    "control store": "gcs/gcs_server",
}
STEP_DEADLINE_S = 120
START_DEADLINE_S = 300
# A run that has finished so many steps after the kill goes on.
STEPS_TO_GO_ON = 2
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
    "memory.trajectory_deadline_s=60",
    f"memory.step_deadline_s={STEP_DEADLINE_S}",
]


@dataclass
class Kill:
    """One kill and what followed.

    Attributes:
        kind: what was killed, a key of ``KINDS``.
        after_step: the last step with metrics at the kill.
        went_on: whether the run finished further steps without a new start.
        lived_on_s: seconds from the kill to the end of the run; None if it went on.
        line: the line with which the run ended; empty if it went on.
        left_over: how many processes of the run were alive when the command had ended.
        resumed_after_step: the step from which the next start resumed; None if there was no new start.
    """

    kind: str
    after_step: int
    went_on: bool = False
    lived_on_s: float | None = None
    line: str = ""
    left_over: int = 0
    resumed_after_step: int | None = None


class RunOverdueError(Exception):
    """The run neither ended nor went on before its deadline."""


def command_line(process: psutil.Process) -> str:
    """Returns the command line of a process; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_of(kind: str, line: str) -> bool:
    """Returns whether a command line is of a kind of process.

    The supervisor's command line contains the driver's. Ray puts an actor's name between ``ray::`` and its class.
    """
    _, actor, name = KINDS[kind].rpartition("ray::")
    return name in line and line.startswith(actor) and (kind == "supervisor" or KINDS["supervisor"] not in line)


def alive(process: psutil.Process) -> bool:
    """Returns whether a process runs."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class OneRun:
    """One folder of a run, which is started again and again.

    Args:
        folder: the folder of all files.

    Attributes:
        run_dir: the run's folder.
        metrics: the run's metrics.
        log: the log of all its starts.
    """

    def __init__(self, folder: Path) -> None:
        self.run_dir = folder / "run"
        self.metrics = MetricsFile(self.run_dir / "metrics.jsonl")
        self.log = self.run_dir / "train.log"
        write_corpus(folder / "corpus.json", 7, 2, seed=3)
        preprocess(folder / "corpus.json", folder / "data", adversarial="drop", limit_questions=4)
        make_policy(folder / "model", folder / "data")
        self._folder = folder

    def command(self, steps: int) -> list[str]:
        """Writes the config and returns the command that trains until a step."""
        given = [f"memory.run_dir={self.run_dir}", f"memory.data_dir={self._folder / 'data'}"]
        given += [f"actor_rollout_ref.model.path={self._folder / 'model'}", f"trainer.total_training_steps={steps}"]
        config = compose_profile("local", [*given, *SMALL])
        validate(config)
        run_config.save(config, self.run_dir / "config.yaml")
        return [sys.executable, "-m", "memupdate.run.grpo", str(self.run_dir / "config.yaml")]

    def step(self) -> int:
        """Returns the last step with metrics, or 0."""
        lines = self.metrics.read() if self.metrics.path.is_file() else []
        return max((int(line["step"]) for line in lines), default=0)

    def resumed(self, log_start: int) -> int | None:
        """Returns the step from which the start whose log begins at ``log_start`` resumed."""
        text = self.log.read_bytes()[log_start:].decode(errors="replace")
        found = text.partition("resuming after step ")[2].partition(",")[0]
        return int(found) if found else None

    def start_and_kill(self, kinds: Iterator[str], chance: random.Random) -> list[Kill]:
        """Starts the run, and kills one process after the other until the run ends.

        Returns:
            The kills, of which all but the last one did not end the run. The ``resumed_after_step`` of the last one is
            still missing.
        """
        kills: list[Kill] = []
        first = self.step()
        killed_at = time.monotonic()
        pause = chance.uniform(0, 2)
        family: list[psutil.Process] = []

        def watch() -> None:
            nonlocal killed_at, pause, family
            now = time.monotonic()
            if now - killed_at > START_DEADLINE_S + STEP_DEADLINE_S:
                raise RunOverdueError(kills[-1].kind if kills else "start")
            if kills and not kills[-1].went_on:
                kills[-1].went_on = self.step() >= kills[-1].after_step + STEPS_TO_GO_ON
                return
            if self.step() <= first or now - killed_at < pause:
                return
            kind = next(kinds, None)
            if kind is None:
                raise StopIteration
            family = psutil.Process().children(recursive=True)
            victims = [one for one in family if is_of(kind, command_line(one))]
            if not victims:
                raise LookupError(f"no {kind} among {[command_line(one) for one in family]}")
            kills.append(Kill(kind, self.step()))
            chance.choice(victims).kill()
            killed_at, pause = time.monotonic(), chance.uniform(0, 2)

        try:
            run_stage(self.command(steps=100_000), self.log, {}, watch)
        except StageError as error:
            kills[-1].lived_on_s = round(time.monotonic() - killed_at, 1)
            kills[-1].went_on = False
            line = str(error).splitlines()[0].replace(str(self._folder), "FOLDER")
            kills[-1].line = re.sub(r"/\S*/session_[^/\s]+", "RAY_SESSION", line)
        except StopIteration:
            pass
        left = [one for one in family if alive(one)]
        if kills and kills[-1].lived_on_s is not None:
            kills[-1].left_over = len(left)
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, timeout=30)
        return kills


def all_kinds(count: int, chance: random.Random) -> Iterator[str]:
    """Yields kinds in random order, each once before any comes again."""
    left: list[str] = []
    for _ in range(count):
        left = left or chance.sample(list(KINDS), len(KINDS))
        yield left.pop()


def measure(folder: Path, count: int, seed: int) -> Iterator[dict[str, object]]:
    """Kills ``count`` processes, and yields the figures so far after each start of the run."""
    chance = random.Random(seed)
    kinds = all_kinds(count, chance)
    run = OneRun(folder)
    kills: list[Kill] = []
    finished = False
    while not finished:
        start = run.log.stat().st_size if run.log.exists() else 0
        new: list[Kill] = []
        if len(kills) < count:
            new = run.start_and_kill(kinds, chance)
        else:
            run_stage(run.command(run.step() + 1), run.log, {})
            finished = True
        if kills and kills[-1].lived_on_s is not None:
            kills[-1].resumed_after_step = run.resumed(start)
        kills += new
        lines = run.metrics.read()
        yield {
            "seed": seed,
            "step_deadline_s": STEP_DEADLINE_S,
            "kills": [asdict(kill) for kill in kills],
            "finished": finished,
            "steps_in_order_without_gap": [line["step"] for line in lines] == list(range(1, len(lines) + 1)),
            "failed_rollouts": sum(line["training/rollout_failures"] for line in lines),
        }


def main() -> None:
    parser = common.arguments("killed_runs", __doc__)
    parser.add_argument("--kills", type=int, default=len(KINDS), help="how many processes to kill")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of kinds and of the times")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for figures in measure(Path(folder), 2 if options.quick else options.kills, options.seed):
            common.write(options.out, figures)


if __name__ == "__main__":
    main()
