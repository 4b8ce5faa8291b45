"""Starts a training run on a Ray cluster: services such as the broker, verl's workers, the trainer."""

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


class PlatformTaskRunner(_TaskRunner):
    """verl's task runner with a trainer of this platform."""

    def make_trainer(self, config: DictConfig) -> Any:
        """The trainer; called when the platform is checked and the TransferQueue is up."""
        raise NotImplementedError

    def start_services(self, config: DictConfig) -> None:
        """Starts what the run's trajectories need beside verl's workers."""

    def finish(self) -> None:
        """Called when the last step is done."""

    def run(self, config: DictConfig) -> None:
        import transfer_queue as tq

        logging.basicConfig(level=os.environ.get("MEMUPDATE_LOG_LEVEL", "WARNING"))
        assert_platform(config.trainer.device)
        with open_dict(config):
            config.transfer_queue.enable = True
        OmegaConf.resolve(config)
        self.config = config
        self.start_services(config)
        tq.init(config.transfer_queue)
        succeeded = False
        try:
            self.trainer = self.make_trainer(config)
            self.trainer.init()
            self.init_agent_loop_manager()
            self.trainer.fit(self.agent_loop_manager)
            self.finish()
            succeeded = True
        finally:
            # There may be no trainer: its own error is the one to see.
            tracking = getattr(getattr(self, "trainer", None), "logger", None)
            if tracking is not None:
                tracking.finish(exit_code=0 if succeeded else 1)
            tq.close()


class MemoryTaskRunner(PlatformTaskRunner):
    """The memory trainer, and the memory broker beside it.

    The broker's actors live as long as this object: reward and rollout workers find it by name.
    """

    def start_services(self, config: DictConfig) -> None:
        from memupdate.broker import start_broker

        # A resumed run rolls its unfinished trajectories out again, under the same namespaces: their old banks go.
        self.broker = start_broker(config.memory, fresh=True)

    def make_trainer(self, config: DictConfig) -> Any:
        from memupdate.run.trainer import MemoryTrainer

        return MemoryTrainer(config=config)


def train(config: DictConfig, task_runner: type[PlatformTaskRunner], section: str) -> None:
    """Runs GRPO as configured; returns when the last step is done.

    Args:
        config: a whole config, as :func:`memupdate.platform.config.compose` returns it.
        task_runner: what runs it.
        section: name of the config's section that holds the run's settings.

    Raises:
        ray.exceptions.RayTaskError: what went wrong in the run; its cause is the first error.
    """
    variables = environment(config[section])
    os.environ.update(variables)
    with open_dict(config):
        config.ray_kwargs.ray_init.runtime_env.env_vars = variables
    try:
        run_ppo(config, task_runner_class=ray.remote(num_cpus=1)(task_runner))
    finally:
        ray.shutdown()


def environment(settings: Any) -> dict[str, str]:
    """Environment variables of the driver, which Ray hands to every process of the run.

    Args:
        settings: the run's section of the config: ``threads``, ``trainer_threads``, ``batch_invariant`` and
            ``run_dir`` are read.
    """
    threads = str(settings.threads)
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        TRAINER_THREADS: str(settings.trainer_threads),
        BATCH_INVARIANT: str(int(settings.batch_invariant)),
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HYDRA_FULL_ERROR": "1",
        "WANDB_DIR": str(settings.run_dir),
        "WANDB_MODE": os.environ.get("WANDB_MODE", "offline"),
        "WANDB_RESUME": "allow",
    }
