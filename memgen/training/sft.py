"""Runs verl's SFT trainer on a latent model: ``torchrun -m memgen.training.sft CONFIG.yaml``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from verl.trainer.sft_trainer import SFTTrainer
from verl.workers.config import TrainingWorkerConfig
from verl.workers.engine_workers import TrainingWorker
from verl.workers.utils.losses import sft_loss

from memgen.training.engine import ENGINE, LatentEngine
from memgen.training.loader import StepLoader
from memupdate.errors import STOPPED, RunStoppedError
from memupdate.platform.sft import process_group
from memupdate.platform.stopping import StopRequests


class LatentSFTTrainer(SFTTrainer):
    """verl's SFT trainer with the latent engine, a reproducible order of rows, and an export of the trained model."""

    def __init__(self, config: DictConfig) -> None:
        self._stop = StopRequests(Path(config.trainer.default_local_dir).parent)
        super().__init__(config)  # type: ignore[no-untyped-call]

    def _build_engine(self) -> None:
        self.loss_fn = partial(sft_loss, config=None)  # type: ignore[arg-type]  # as verl's own trainer does
        self.training_client = TrainingWorker(
            config=TrainingWorkerConfig(
                model_type=ENGINE,
                model_config=self.model_config,
                engine_config=self.engine_config,
                optimizer_config=self.optimizer_config,
                checkpoint_config=self.checkpoint_config,
                profiler_config=self.profiler_config,
            )
        )
        self.training_client.set_loss_fn(loss_fn=self.loss_fn)
        self.engine = self.training_client.engine

    def _build_dataloader(self) -> None:
        super()._build_dataloader()  # type: ignore[no-untyped-call]
        self.train_dataloader = StepLoader(
            self.train_dataset,
            batch_size=self.config.data.train_batch_size,
            seed=self.config.trainer.seed,
            collate=self.collate_fn,
            rank=self.engine.get_data_parallel_rank(),
            ranks=self.engine.get_data_parallel_size(),
            before_step=self._stop_if_asked,
        )

    def _stop_if_asked(self, done: int) -> None:
        """Writes a checkpoint and raises RunStoppedError on all ranks, if the run was asked to stop.

        Args:
            done: the number of steps done.
        """
        self._stop.step_begins()
        reasons = [self._stop.reason()]  # rank 0 decides, because the ranks may look before and after a request
        torch.distributed.broadcast_object_list(reasons)
        if reasons[0] is None:
            return
        saved = done == self.resume_global_step or (self.save_freq > 0 and done % self.save_freq == 0)
        if not saved:
            self.ckpt_handler.save_checkpoint(step=done)
        raise self._stop.stopped(done, reasons[0])

    def fit(self) -> None:
        """Trains up to the last step, unless it is already done, and exports the model."""
        # If the last step is not the end of an epoch, verl would train one more step after a restart.
        if self.resume_global_step < self.total_training_steps:
            super().fit()  # type: ignore[no-untyped-call]
        assert isinstance(self.engine, LatentEngine)
        self.engine.export(Path(self.config.trainer.default_local_dir).parent / "model")


def run(config: DictConfig) -> None:
    """Trains with a resolved config."""
    with process_group():
        LatentSFTTrainer(config=config).fit()


if __name__ == "__main__":
    try:
        run(OmegaConf.load(Path(sys.argv[1])))  # type: ignore[arg-type]
    except RunStoppedError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(STOPPED)
