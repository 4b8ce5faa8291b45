"""A run of supervised training: it writes the rows, builds verl's config and starts the training processes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from memgen.data.rows import ROWS, TrainingRow
from memgen.methods import method_of
from memgen.sections import Settings
from memupdate.errors import FieldError
from memupdate.platform import config as run_config
from memupdate.platform.stages import SFTProgress, run_stage
from memupdate.platform.stopping import STOP_FILE

logger = logging.getLogger(__name__)

CONFIG = "latent_sft"


def train_supervised(settings: Settings, initial: Path, train: list[TrainingRow], valid: list[TrainingRow]) -> Path:
    """Trains in separate processes. If an earlier call was stopped, training continues from its last checkpoint.

    Args:
        settings: the run's settings.
        initial: folder of the model that training starts from, inside the run's folder.
        train: the rows to train on.
        valid: the rows to validate on; may be empty.

    Returns:
        Folder of the trained model: ``model/`` next to ``initial``.

    Raises:
        FieldError: ``train``, or ``valid`` if it is not empty, has fewer rows than one batch.
        StageError: a training process failed. The message holds the end of its log.
        RunStoppedError: the run was asked to stop. It has written a checkpoint.
    """
    folder, run = initial.parent, settings.run
    batch = run.sft.batch_size
    for field, rows in (("dataset.train_file", train), ("dataset.valid_ratio", valid or train)):
        if len(rows) < batch:
            raise FieldError(field, f"{len(rows)} turns", f"at least run.sft.batch_size, {batch}")
    ROWS.write(folder / "rows" / "train.parquet", train)
    if valid:
        ROWS.write(folder / "rows" / "valid.parquet", valid)
    config = verl_config(settings, initial, folder, held_out=bool(valid))
    run_config.save(config, folder / "verl.yaml")
    steps = run.sft.epochs * (len(train) // batch)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(run.ranks), "-m", "memgen.training.sft", str(folder / "verl.yaml")),
    ]
    launches = len(list(folder.glob("metrics-*.jsonl")))
    environment = {
        "OMP_NUM_THREADS": str(run.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "VERL_FILE_LOGGER_PATH": str(folder / f"metrics-{launches + 1:03d}.jsonl"),
    }
    logger.info("stage %s: training in %s: %d turns, %d steps (log: train.log)", run.stage, folder, len(train), steps)
    progress = SFTProgress(folder / "train.log", steps, run.stage)
    run_stage(command, folder / "train.log", environment, progress, folder / STOP_FILE)
    return folder / "model"


def verl_config(settings: Settings, initial: Path, folder: Path, held_out: bool) -> DictConfig:
    """Returns verl's config of a run: ``configs/latent_sft.yaml`` with the run's settings filled in.

    Args:
        settings: the run's settings.
        initial: folder of the initial model.
        folder: folder of the run.
        held_out: whether there are validation rows.
    """
    run, sft = settings.run, settings.run.sft
    values: dict[str, Any] = {
        "model.path": initial,
        "model.override_config.trainable": list(method_of(settings.model.method).stages[run.stage]),
        "model.enable_gradient_checkpointing": sft.gradient_checkpointing,
        "engine.seed": run.seed,
        "+engine.mixed_precision": f"{{param_dtype:{run.dtype},reduce_dtype:fp32,buffer_dtype:fp32}}",
        "optim.lr": sft.lr,
        "optim.lr_scheduler_type": sft.lr_scheduler_type,
        "optim.lr_warmup_steps_ratio": sft.warmup_ratio,
        "optim.weight_decay": sft.weight_decay,
        "optim.clip_grad": sft.clip_grad,
        "data.train_files": folder / "rows" / "train.parquet",
        "data.val_files": folder / "rows" / "valid.parquet" if held_out else "null",
        "data.train_batch_size": sft.batch_size,
        "data.micro_batch_size_per_gpu": min(sft.micro_batch_size, sft.batch_size // run.ranks),
        "data.max_length": settings.dataset.max_length,
        "trainer.experiment_name": f"{run.stage}-sft",
        "trainer.device": run.device,
        "trainer.seed": run.seed,
        "trainer.total_epochs": sft.epochs,
        "trainer.save_freq": sft.save_steps,
        "trainer.test_freq": sft.valid_steps if held_out else -1,
        "trainer.n_gpus_per_node": run.ranks,
        "trainer.default_local_dir": folder / "checkpoints",
    }
    return run_config.compose(CONFIG, [f"{key}={value}" for key, value in values.items()])
