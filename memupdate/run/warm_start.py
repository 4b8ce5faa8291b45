"""Makes the warm-started tiny policy, once per combination of corpus, settings and code. All runs share it."""

from __future__ import annotations

import logging
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from memupdate.errors import FieldError
from memupdate.files import CONFIGS
from memupdate.platform import config as run_config
from memupdate.platform import lease
from memupdate.platform.screen import without_weight_bars
from memupdate.platform.stages import SFTProgress, run_stage
from memupdate.policy import PolicySettings, make_policy, write_demonstrations
from memupdate.run.job import Job
from memupdate.run.keys import content_key, file_digest, source_digest
from memupdate.run.profiles import compose_profile

logger = logging.getLogger(__name__)

CONFIG = "warm_start"
# Each process has one thread. This is faster than one process with two threads, and the resulting policy does not
# depend on the number of cores.
PROCESSES = 2
# Without the malloc settings, every step returns its memory to the system and spends a sixth of its time on new pages.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_MMAP_THRESHOLD_": str(4 * 2**30),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}


def prepare_policy(job: Job, data_dir: Path) -> Path:
    """Makes and warm-starts the tiny policy, unless an earlier run has done so with the same corpus, settings and code.

    The demonstrations are of the kind of episodes that the run trains on (``memory.episode``).

    Returns:
        The model's folder.

    Raises:
        FieldError: a setting of the policy is not allowed.
        ConfigError: hydra refuses an override of the job.
        LeaseHeldError: another run makes the same policy now.
        StageError: the training failed. The message contains the end of its log.
    """
    settings = replace(job.policy, episode=compose_profile(job.profile, job.overrides).memory.episode)
    target = job.shared / f"policy-{policy_key(data_dir, settings)}"
    if (target / "model" / "config.json").is_file():
        return target / "model"
    with lease.hold(job.shared / f"making-{target.name}"):  # another run may make the same policy now
        return _make_policy(target, data_dir, settings)


def _make_policy(target: Path, data_dir: Path, settings: PolicySettings) -> Path:
    """Makes the policy in a folder beside ``target`` and moves it there. Returns the model's folder."""
    # files.new_directory would remove the folder after a failure, but the error message points to the log in it.
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    logger.info("making the tiny policy and its demonstrations")
    with without_weight_bars():
        make_policy(partial / "initial", data_dir, settings)
    write_demonstrations(partial / "demonstrations.parquet", data_dir, settings)
    logger.info("warm start: supervised training on scripted tool calls")
    trained = warm_start(partial, settings)
    trained.rename(partial / "model")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target / "model"


def policy_key(data_dir: Path, settings: PolicySettings, config: Path = CONFIGS / f"{CONFIG}.yaml") -> str:
    """Returns the content key of a warm-started policy's inputs.

    Args:
        data_dir: the folder of the preprocessed corpus, whose name contains its content key.
        settings: the settings of the policy.
        config: the trainer's config file.
    """
    made_by = {"code": source_digest("policy", "memory", "tools"), CONFIG: file_digest(config)}
    return content_key({**made_by, "data": data_dir.name, **settings.to_dict()})


def warm_start(folder: Path, settings: PolicySettings) -> Path:
    """Runs verl's SFT trainer on the initial policy and the demonstrations in ``folder``.

    Returns:
        The trained model's folder.

    Raises:
        FieldError: the batch size is not a multiple of the number of processes.
        StageError: the training failed. The message contains the end of its log.
    """
    if settings.batch_size % PROCESSES:
        raise FieldError("policy.batch_size", settings.batch_size, f"a multiple of {PROCESSES}, the processes")
    overrides = [
        f"model.path={folder / 'initial'}",
        f"data.train_files={folder / 'demonstrations.parquet'}",
        f"trainer.default_local_dir={folder / 'sft'}",
        f"data.train_batch_size={settings.batch_size}",
        f"data.micro_batch_size_per_gpu={settings.batch_size // PROCESSES}",
        f"trainer.n_gpus_per_node={PROCESSES}",
        f"optim.lr={settings.learning_rate}",
        f"trainer.total_training_steps={settings.steps}",
        f"trainer.total_epochs={math.ceil(settings.steps * settings.batch_size / rows_of(folder)) + 1}",
        f"trainer.seed={settings.seed}",
    ]
    config = run_config.compose(CONFIG, overrides)
    config_file = folder / f"{CONFIG}.yaml"
    run_config.save(config, config_file)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)),
        *("-m", "memupdate.platform.sft", str(config_file)),
    ]
    log = folder / f"{CONFIG}.log"
    run_stage(command, log, ENVIRONMENT, SFTProgress(log, settings.steps, "warm start"))
    [saved] = (folder / "sft").glob("global_step_*/huggingface")
    return saved


def rows_of(folder: Path) -> int:
    """Returns the number of rows in ``demonstrations.parquet`` in a policy's folder."""
    return int(pq.read_metadata(folder / "demonstrations.parquet").num_rows)
