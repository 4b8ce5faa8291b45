"""Starts a training run on a Ray cluster: the job's services, verl's workers and the trainer."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Protocol

import ray
from omegaconf import DictConfig, OmegaConf, open_dict
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo

from memupdate.platform.batch_invariant import BATCH_INVARIANT
from memupdate.platform.cpu import assert_platform
from memupdate.platform.workers import TRAINER_THREADS

if TYPE_CHECKING:
    from memupdate.platform.trainer import PlatformTrainer

logger = logging.getLogger(__name__)

# verl exports its task runner as a Ray actor, which cannot be subclassed. This is the class inside (verl_private.py).
_TaskRunner: Any = TaskRunnerV1.__ray_metadata__.modified_class  # type: ignore[attr-defined]  # Ray adds it


class PlatformTaskRunner(_TaskRunner):  # type: ignore[misc]  # the class inside the actor has no static type
    """verl's task runner with a trainer of this platform. Jobs subclass it."""

    def make_trainer(self, config: DictConfig) -> PlatformTrainer:
        """Returns the job's trainer. Called after the platform check and the start of the TransferQueue."""
        raise NotImplementedError

    def start_services(self, config: DictConfig) -> None:
        """Starts the services that the trajectories need besides verl's workers. The default does nothing."""

    def finish(self) -> None:
        """Runs after the last step. The default does nothing."""

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
            self.trainer: Any = self.make_trainer(config)  # the job's class
            self.trainer.init()
            self.init_agent_loop_manager()
            self.trainer.fit(self.agent_loop_manager)
            self.finish()
            succeeded = True
        finally:
            # If there is no trainer, the error that prevented it is raised.
            tracking = getattr(getattr(self, "trainer", None), "logger", None)
            if tracking is not None:
                tracking.finish(exit_code=0 if succeeded else 1)
            tq.close()


def train(config: DictConfig, task_runner: type[PlatformTaskRunner], section: str) -> None:
    """Runs GRPO with a config and returns after the last step.

    Args:
        config: a complete config, as :func:`memupdate.platform.config.compose` returns it.
        task_runner: the job's task runner.
        section: the name of the config section with the run's settings.

    Raises:
        ray.exceptions.RayTaskError: the run failed. The exception's cause is the first error.
    """
    variables = environment(config[section])
    os.environ.update(variables)
    with open_dict(config):
        config.ray_kwargs.ray_init.runtime_env.env_vars = variables
    try:
        run_ppo(config, task_runner_class=ray.remote(num_cpus=1)(task_runner))
    finally:
        ray.shutdown()


class ProcessSettings(Protocol):
    """The settings that all processes of a run need, from the run's config section.

    Attributes:
        threads: OMP threads per process.
        trainer_threads: torch threads per training worker.
        batch_invariant: whether to sum fp32 products in float64 on a CPU.
        run_dir: the run's folder.
    """

    threads: int
    trainer_threads: int
    batch_invariant: bool
    run_dir: str


def environment(settings: ProcessSettings) -> dict[str, str]:
    """Returns the environment variables of the driver. Ray passes them to every process of the run.

    Args:
        settings: the run's config section.
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
