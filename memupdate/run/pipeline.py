"""The stages of a job in order: corpus, rows, policy, warm start, GRPO, report. Completed stages are skipped."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from memupdate.evaluation import report
from memupdate.platform import config as run_config
from memupdate.platform import lease
from memupdate.platform.checkpoints import refuse_foreign
from memupdate.platform.processes import users_variables
from memupdate.platform.stages import TrainingProgress, run_stage
from memupdate.platform.stopping import STOP_FILE
from memupdate.run.job import MODEL_PATH, Job, choose_run_dir, remember
from memupdate.run.keys import content_key, file_digest, source_digest
from memupdate.run.preflight import check_host, validate
from memupdate.run.profiles import compose_profile
from memupdate.run.reporting import play_references
from memupdate.run.warm_start import prepare_policy

logger = logging.getLogger(__name__)


def prepare_data(job: Job) -> Path:
    """Preprocesses the corpus, unless an earlier run has done so with the same content, options and code.

    Returns:
        The folder of the preprocessed rows.

    Raises:
        DataError: the corpus is not a LoCoMo file.
        FieldError: an option is not allowed.
    """
    from memupdate.data.preprocess import preprocess
    from memupdate.data.synthetic import CONVERSATIONS, HELD_OUT, write_corpus

    if job.locomo is None:
        logger.info("no LoCoMo file was given: the corpus is generated")
        settings: dict[str, Any] = {"conversations": CONVERSATIONS, "held_out": HELD_OUT, "seed": 0}
        source = job.shared / f"synthetic-{content_key({'code': source_digest('data'), **settings})}.json"
        if not source.is_file():
            write_corpus(source, **settings)
        options: dict[str, Any] = {"dataset": "synthetic", "adversarial": "drop"}
    else:
        source = job.locomo
        options = {"adversarial": "drop"}
        if job.profile == "local":
            options["limit_questions"] = 24  # keeps a laptop's run short: held-out questions are rolled out twice
            options["session_characters"] = 1200  # the profile's prompts are short; no turn of LoCoMo is longer
    if not source.is_file():
        preprocess(source, job.shared / "none", **options)  # raises an error with the reason
    key = content_key({"code": source_digest("data"), "source": file_digest(source), **options})
    target = job.shared / f"data-{key}"
    if not (target / "manifest.json").is_file():
        logger.info("preprocessing %s", source.name)
        preprocess(source, target, **options)
    return target


def check(job: Job) -> DictConfig:
    """Composes and validates the config of a job, for a dry run. Starts no process and writes no file.

    Returns:
        The config with which the job would run.

    Raises:
        MemupdateError: an input is not allowed.
    """
    from memupdate.data.locomo import load_locomo

    if job.locomo is not None:
        load_locomo(job.locomo)
    overrides = [f"memory.run_dir={choose_run_dir(job)}", f"memory.data_dir={job.shared / 'data'}"]
    if job.makes_policy:
        overrides.append(f"{MODEL_PATH}=local/tiny-policy")  # a placeholder for the policy that the run will make
    config = compose_profile(job.profile, [*overrides, *job.overrides])
    validate(config)
    users_variables(config, "memory")
    refuse_foreign(Path(config.trainer.default_local_dir))
    return config


def run(job: Job) -> Path:
    """Runs the whole job.

    Returns:
        The run's folder.

    Raises:
        LeaseHeldError: another process runs this job.
        RunStoppedError: the job was asked to stop. Starting it again continues it.
        MemupdateError: an input is not allowed, or a stage failed. Starting the job again continues it.
    """
    run_dir = choose_run_dir(job).resolve()
    lease.refuse_held(run_dir)
    check_host(check(job))
    with lease.hold(run_dir):
        remember(job, run_dir)  # before the long stages, so that a second start of the job comes to this folder
        data_dir = prepare_data(job)
        overrides = [f"memory.run_dir={run_dir}", f"memory.data_dir={data_dir.resolve()}"]
        if job.makes_policy:
            overrides.append(f"{MODEL_PATH}={prepare_policy(job, data_dir).resolve()}")
        train(job, run_dir, [*overrides, *job.overrides])
    return run_dir


def train(job: Job, run_dir: Path, overrides: Sequence[str]) -> None:
    """Runs GRPO in a separate process and writes the report.

    Args:
        job: the job.
        run_dir: the run's folder.
        overrides: all hydra overrides, including the paths of the run, its data and its model.

    Raises:
        MemupdateError: an override is not allowed, or the training failed.
    """
    config = compose_profile(job.profile, overrides)
    validate(config)
    run_config.save(config, run_dir / "config.yaml")
    steps = int(config.trainer.total_training_steps or 0)
    logger.info("training in %s (log: train.log)", run_dir)
    command = [sys.executable, "-m", "memupdate.run.grpo", str(run_dir / "config.yaml")]
    run_stage(command, run_dir / "train.log", {}, TrainingProgress(run_dir, steps, "memory"), run_dir / STOP_FILE)
    report.write(report.compare(run_dir, play_references(run_dir, config)), run_dir)
