"""Starts a training run on a Ray cluster: the broker, verl's workers, the trainer."""

from __future__ import annotations

import logging
import os
from typing import Any

import ray
from omegaconf import DictConfig, OmegaConf, open_dict
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo

from memupdate.platform.batch_invariant import BATCH_INVARIANT
from memupdate.platform.cpu import assert_platform
from memupdate.platform.workers import TRAINER_THREADS

logger = logging.getLogger(__name__)

_TaskRunner: Any = TaskRunnerV1.__ray_metadata__.modified_class  # type: ignore[attr-defined]


class MemoryTaskRunner(_TaskRunner):
    """verl's task runner with this project's trainer, and the memory broker beside it.

    The broker's actors live as long as this object: reward and rollout workers find it by name.
    """

    def run(self, config: DictConfig) -> None:
        import transfer_queue as tq

        from memupdate.broker import start_broker
        from memupdate.platform.trainer import MemoryTrainer

        logging.basicConfig(level=os.environ.get("MEMUPDATE_LOG_LEVEL", "WARNING"))
        assert_platform(config.trainer.device)
        with open_dict(config):
            config.transfer_queue.enable = True
        OmegaConf.resolve(config)
        self.config = config
        # A resumed run rolls its unfinished trajectories out again, under the same namespaces: their old banks go.
        self.broker = start_broker(config.memory, fresh=True)
        tq.init(config.transfer_queue)
        succeeded = False
        try:
            self.trainer = MemoryTrainer(config=config)
            self.trainer.init()
            self.init_agent_loop_manager()
            self.trainer.fit(self.agent_loop_manager)
            succeeded = True
        finally:
            tracking = getattr(self.trainer, "logger", None)
            if tracking is not None:
                tracking.finish(exit_code=0 if succeeded else 1)
            tq.close()


def train(config: DictConfig) -> None:
    """Runs GRPO as configured; returns when the last step is done.

    Args:
        config: a whole config, as :func:`memupdate.platform.config.compose` returns it.

    Raises:
        ray.exceptions.RayTaskError: what went wrong in the run; its cause is the first error.
    """
    try:
        run_ppo(config, task_runner_class=ray.remote(num_cpus=1)(MemoryTaskRunner))
    finally:
        ray.shutdown()


def environment(config: Any) -> dict[str, str]:
    """Environment variables of the driver, which Ray hands to every process of the run."""
    threads = str(config.memory.threads)
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        TRAINER_THREADS: str(config.memory.trainer_threads),
        BATCH_INVARIANT: str(int(config.memory.batch_invariant)),
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HYDRA_FULL_ERROR": "1",
        "WANDB_DIR": str(config.memory.run_dir),
        "WANDB_MODE": os.environ.get("WANDB_MODE", "offline"),
        "WANDB_RESUME": "allow",
    }
