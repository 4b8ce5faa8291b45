"""Starts a training run on a Ray cluster: the job's services, verl's workers and the trainer."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from omegaconf import DictConfig, OmegaConf, open_dict
from verl.trainer.main_ppo import TaskRunnerV1, run_ppo

from memupdate.errors import STOPPED, RunStoppedError
from memupdate.platform import config as run_config
from memupdate.platform import lease
from memupdate.platform.cpu import assert_platform
from memupdate.platform.processes import start_ray

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
        ended_well = False
        try:
            self.trainer: Any = self.make_trainer(config)  # the job's class
            self.trainer.init()
            self.init_agent_loop_manager()
            self.trainer.fit(self.agent_loop_manager)
            self.finish()
            ended_well = True
        except RunStoppedError:
            ended_well = True
            raise
        finally:
            # If there is no trainer, the error that prevented it is raised.
            tracking = getattr(getattr(self, "trainer", None), "logger", None)
            if tracking is not None:
                tracking.finish(exit_code=0 if ended_well else 1)
            tq.close()


def main(config_file: Path, task_runner: type[PlatformTaskRunner], section: str) -> int:
    """Runs GRPO from a resolved config file, as the process of a stage.

    Args:
        config_file: the file, such as ``config.yaml`` of a run.
        task_runner: the job's task runner.
        section: the name of the config section with the run's settings.

    Returns:
        0, or 75 if the run was asked to stop and wrote a checkpoint.
    """
    config = run_config.load(config_file)
    with lease.hold(Path(config[section].run_dir)):
        try:
            train(config, task_runner, section)
        except RunStoppedError as error:
            sys.stderr.write(f"{error}\n")
            return STOPPED
    return 0


def train(config: DictConfig, task_runner: type[PlatformTaskRunner], section: str) -> None:
    """Runs GRPO with a config and returns after the last step.

    Args:
        config: a complete config, as :func:`memupdate.platform.config.compose` returns it.
        task_runner: the job's task runner.
        section: the name of the config section with the run's settings.

    Raises:
        RunStoppedError: the run was asked to stop. It has written a checkpoint.
        ray.exceptions.RayTaskError: the run failed. The exception's cause is the first error.
    """
    start_ray(config, section)
    try:
        run_ppo(config, task_runner_class=ray.remote(num_cpus=1)(task_runner))
    finally:
        ray.shutdown()
