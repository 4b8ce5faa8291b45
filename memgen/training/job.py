"""A supervised run of the weaver: streams, verl's config, and the processes that train."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from memgen.data.streams import WovenRow, write_rows
from memgen.settings import Settings
from memupdate.errors import FieldError
from memupdate.platform import config as run_config
from memupdate.platform.stages import SFTProgress, run_stage

logger = logging.getLogger(__name__)

CONFIG = "weaver_sft"


def train_weaver(settings: Settings, initial: Path, train: list[WovenRow], valid: list[WovenRow]) -> Path:
    """Trains in processes of its own and returns the model's folder; goes on where an earlier call was stopped.

    Args:
        settings: the run's.
        initial: folder of the model that training starts from, in the run's folder.
        train: its streams.
        valid: streams that are measured and not trained on; may be empty.

    Returns:
        The model's folder, ``model/`` beside ``initial``.

    Raises:
        FieldError: fewer streams than one batch.
        StageError: a process of the training failed; the message holds the end of its log.
    """
    folder = initial.parent
    batch = settings.run.sft.batch_size
    for field, rows in (("dataset.train_file", train), ("dataset.valid_ratio", valid or train)):
        if len(rows) < batch:
            raise FieldError(field, f"{len(rows)} streams", f"at least run.sft.batch_size, {batch}")
    write_rows(folder / "streams" / "train.parquet", train)
    if valid:
        write_rows(folder / "streams" / "valid.parquet", valid)
    config = verl_config(settings, initial, folder, held_out=bool(valid))
    run_config.save(config, folder / "verl.yaml")
    steps = settings.run.sft.epochs * (len(train) // batch)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(settings.run.ranks), "-m", "memgen.training.sft", str(folder / "verl.yaml")),
    ]
    launches = len(list(folder.glob("metrics-*.jsonl")))
    environment = {
        "OMP_NUM_THREADS": str(settings.run.threads),
        "TOKENIZERS_PARALLELISM": "false",
        "VERL_FILE_LOGGER_PATH": str(folder / f"metrics-{launches + 1:03d}.jsonl"),
    }
    logger.info("training the weaver in %s: %d streams, %d steps (log: train.log)", folder, len(train), steps)
    run_stage(command, folder / "train.log", environment, SFTProgress(folder / "train.log", steps, "weaver"))
    return folder / "model"


def verl_config(settings: Settings, initial: Path, folder: Path, held_out: bool) -> DictConfig:
    """verl's SFT config of a run: ``configs/weaver_sft.yaml`` and the run's settings."""
    run, sft = settings.run, settings.run.sft
    values: dict[str, Any] = {
        "model.path": initial,
        "model.enable_gradient_checkpointing": sft.gradient_checkpointing,
        "engine.seed": run.seed,
        "+engine.mixed_precision": f"{{param_dtype:{run.dtype},reduce_dtype:fp32,buffer_dtype:fp32}}",
        "optim.lr": sft.lr,
        "optim.lr_scheduler_type": sft.lr_scheduler_type,
        "optim.lr_warmup_steps_ratio": sft.warmup_ratio,
        "optim.weight_decay": sft.weight_decay,
        "optim.clip_grad": sft.clip_grad,
        "data.train_files": folder / "streams" / "train.parquet",
        "data.val_files": folder / "streams" / "valid.parquet" if held_out else "null",
        "data.train_batch_size": sft.batch_size,
        "data.micro_batch_size_per_gpu": min(sft.micro_batch_size, sft.batch_size // run.ranks),
        "data.max_length": settings.dataset.max_length,
        "trainer.device": run.device,
        "trainer.seed": run.seed,
        "trainer.total_epochs": sft.epochs,
        "trainer.save_freq": sft.save_steps,
        "trainer.test_freq": sft.valid_steps if held_out else -1,
        "trainer.n_gpus_per_node": run.ranks,
        "trainer.default_local_dir": folder / "checkpoints",
    }
    return run_config.compose(CONFIG, [f"{key}={value}" for key, value in values.items()])
