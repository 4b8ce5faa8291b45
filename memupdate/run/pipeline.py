"""The whole job in order: corpus, rows, policy, warm start, GRPO, report. Each stage is skipped where it is done."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig

from memupdate.errors import FieldError
from memupdate.evaluation import report
from memupdate.files import CONFIGS, write_atomically
from memupdate.platform import config as run_config
from memupdate.platform.stages import SFTProgress, TrainingProgress, run_stage
from memupdate.policy import PolicySettings, make_policy, write_demonstrations

logger = logging.getLogger(__name__)

# Of the warm start, one thread each, on any machine: faster than one process with two threads, and the policy that
# comes out does not depend on the number of cores.
SFT_PROCESSES = 2
# Of the warm start. Without malloc's settings every step gives its memory back to the system and pays for fresh pages,
# a sixth of its time.
SFT_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 2**30),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Job:
    """What a user asks for.

    Attributes:
        profile: ``local`` or ``cluster``.
        locomo: a LoCoMo JSON file; None for the generated corpus (local profile only).
        runs: folder of all runs and of what they share.
        run_dir: this run's folder; None to resume an unfinished run of the same config or to start a new one.
        overrides: hydra overrides.
        policy: settings of the tiny policy.
    """

    profile: str
    locomo: Path | None
    runs: Path
    run_dir: Path | None = None
    overrides: tuple[str, ...] = ()
    policy: PolicySettings = field(default_factory=PolicySettings)


def content_key(value: Mapping[str, Any]) -> str:
    """Twelve hex digits that name a stage's inputs."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_digest(*rooms: str, root: Path = PACKAGE) -> str:
    """Digest of the source of rooms: part of the key of what their code makes, which a change of code makes stale."""
    files = sorted(file for room in rooms for file in (root / room).rglob("*.py"))
    return content_key({str(file.relative_to(root)): file_digest(file) for file in files})


def prepare_data(job: Job) -> Path:
    """Preprocesses the corpus once per content, options and code; returns its folder.

    Raises:
        DataError, FieldError: a file or an option that is not allowed.
    """
    from memupdate.data.preprocess import preprocess
    from memupdate.data.synthetic import synthetic_corpus

    shared = job.runs / "shared"
    if job.locomo is None:
        settings: dict[str, Any] = {"conversations": 24, "seed": 0}
        source = shared / f"synthetic-{content_key({'code': source_digest('data'), **settings})}.json"
        if not source.is_file():
            shared.mkdir(parents=True, exist_ok=True)
            write_atomically(source, json.dumps(synthetic_corpus(**settings)))
        options: dict[str, Any] = {"train_conversations": 16, "adversarial": "drop"}
    else:
        source = job.locomo
        options = {"adversarial": "drop"}
        if job.profile == "local":
            options["limit_questions"] = 24  # held-out questions are rolled out twice: keep a laptop's run short
    if not source.is_file():
        preprocess(source, shared / "none", **options)  # raises, with the reason
    target = shared / f"data-{content_key({'code': source_digest('data'), 'source': file_digest(source), **options})}"
    if not (target / "manifest.json").is_file():
        logger.info("preprocessing %s", source.name)
        preprocess(source, target, **options)
    return target


def prepare_policy(job: Job, data_dir: Path) -> Path:
    """Makes and warm-starts the tiny policy once per corpus, settings and code; returns the model's folder."""
    settings = job.policy
    target = job.runs / "shared" / f"policy-{policy_key(data_dir, settings)}"
    if (target / "model" / "config.json").is_file():
        return target / "model"
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    logger.info("making the tiny policy and its demonstrations")
    make_policy(partial / "initial", data_dir, settings)
    write_demonstrations(partial / "demonstrations.parquet", data_dir, settings)
    logger.info("warm start: supervised training on scripted tool calls")
    trained = warm_start(partial, settings)
    trained.rename(partial / "model")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target / "model"


def policy_key(data_dir: Path, settings: PolicySettings) -> str:
    """Names what a warm-started policy is made from: the corpus, the settings, the code and the trainer's config."""
    made_by = {
        "code": source_digest("policy", "memory", "tools"),
        "warm_start": file_digest(CONFIGS / "warm_start.yaml"),
    }
    return content_key({**made_by, "data": data_dir.name, **settings.to_dict()})


def warm_start(folder: Path, settings: PolicySettings) -> Path:
    """Runs verl's SFT trainer on ``folder``'s initial policy and demonstrations; returns the model's folder.

    Raises:
        FieldError: a batch that the processes cannot share.
    """
    if settings.batch_size % SFT_PROCESSES:
        raise FieldError("policy.batch_size", settings.batch_size, f"a multiple of {SFT_PROCESSES}, the processes")
    overrides = [
        f"model.path={folder / 'initial'}",
        f"data.train_files={folder / 'demonstrations.parquet'}",
        f"trainer.default_local_dir={folder / 'sft'}",
        f"data.train_batch_size={settings.batch_size}",
        f"data.micro_batch_size_per_gpu={settings.batch_size // SFT_PROCESSES}",
        f"trainer.n_gpus_per_node={SFT_PROCESSES}",
        f"optim.lr={settings.learning_rate}",
        f"trainer.total_training_steps={settings.steps}",
        f"trainer.total_epochs={math.ceil(settings.steps * settings.batch_size / rows_of(folder)) + 1}",
        f"trainer.seed={settings.seed}",
    ]
    config = run_config.compose("warm_start", overrides)
    config_file = folder / "warm_start.yaml"
    run_config.save(config, config_file)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(SFT_PROCESSES)),
        *("-m", "memupdate.platform.sft", str(config_file)),
    ]
    run_stage(
        command,
        folder / "warm_start.log",
        SFT_ENVIRONMENT,
        SFTProgress(folder / "warm_start.log", settings.steps, "warm start"),
    )
    [saved] = (folder / "sft").glob("global_step_*/huggingface")
    return saved


def rows_of(folder: Path) -> int:
    """Rows of the demonstrations in a policy's folder."""
    return int(pq.read_metadata(folder / "demonstrations.parquet").num_rows)


def choose_run_dir(job: Job, name: str) -> Path:
    """The folder of an unfinished run of this job, or a new one.

    Two calls of the same job are the same run until it is finished: that is what makes "start it again" resume.
    """
    if job.run_dir is not None:
        return job.run_dir
    earlier = sorted(job.runs.glob(f"{name}-[0-9][0-9][0-9]"))
    if earlier and not (earlier[-1] / "report.json").is_file():
        asked = earlier[-1] / "job.json"
        if asked.is_file() and json.loads(asked.read_text()) == _identity(job):
            return earlier[-1]
    number = int(earlier[-1].name.rsplit("-", 1)[1]) + 1 if earlier else 1
    return job.runs / f"{name}-{number:03d}"


def _identity(job: Job) -> dict[str, Any]:
    return {
        "profile": job.profile,
        "locomo": None if job.locomo is None else file_digest(job.locomo),
        "overrides": list(job.overrides),
        "policy": job.policy.to_dict(),
    }


def check(job: Job) -> DictConfig:
    """Composes and validates without starting or writing anything: the dry run.

    Returns:
        The config as it would run.
    """
    from memupdate.data.locomo import load_locomo

    if job.locomo is not None:
        load_locomo(job.locomo)
    run_dir = choose_run_dir(job, job.profile)
    overrides = [f"memory.run_dir={run_dir}", f"memory.data_dir={job.runs / 'shared' / 'data'}"]
    if job.profile == "local" and not any(o.startswith("actor_rollout_ref.model.path=") for o in job.overrides):
        overrides.append("actor_rollout_ref.model.path=local/tiny-policy")  # made by the run itself
    config = run_config.compose(job.profile, [*overrides, *job.overrides])
    run_config.validate(config)
    return config


def run(job: Job) -> Path:
    """Runs the whole job; returns the run's folder.

    Raises:
        MemupdateError: a stage that failed, or an input that is not allowed; nothing half-written is left.
    """
    run_config.check_host(check(job))
    data_dir = prepare_data(job)
    run_dir = choose_run_dir(job, job.profile).resolve()
    overrides = [f"memory.run_dir={run_dir}", f"memory.data_dir={data_dir.resolve()}"]
    if job.profile == "local" and not any(o.startswith("actor_rollout_ref.model.path=") for o in job.overrides):
        overrides.append(f"actor_rollout_ref.model.path={prepare_policy(job, data_dir).resolve()}")
    train(job, run_dir, [*overrides, *job.overrides])
    return run_dir


def train(job: Job, run_dir: Path, overrides: Sequence[str]) -> None:
    """Runs GRPO in a process of its own, then writes the report."""
    config = run_config.compose(job.profile, overrides)
    run_config.validate(config)
    run_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(run_dir / "job.json", json.dumps(_identity(job)))
    run_config.save(config, run_dir / "config.yaml")
    steps = int(config.trainer.total_training_steps or 0)
    logger.info("training in %s (log: train.log)", run_dir)
    command = [sys.executable, "-m", "memupdate", "train-config", str(run_dir / "config.yaml")]
    run_stage(command, run_dir / "train.log", {}, TrainingProgress(run_dir, steps))
    report.write(report.compare(run_dir), run_dir)
