"""verl's agent loop workers with a deadline for every rollout and a record of every rollout that failed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import ray
from omegaconf import DictConfig, open_dict
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ

from memupdate.errors import FieldError
from memupdate.failures import FailureLog, describe
from memupdate.platform.limits import Limits, TrajectoryDeadlineError

# A section of the config of this project's own, for the agent loop workers. They do not know which job they work for.
SECTION = "rollout_faults"

# verl exports its worker as a Ray actor, which cannot be subclassed. Inside is a subclass by Ray of the class that verl
# wrote (verl_private.py).
_Worker: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class.__bases__[0]  # type: ignore[attr-defined]  # Ray adds it


def configure(config: DictConfig, run_dir: Path, limits: Limits) -> None:
    """Makes a run use these workers, and tells them the run's folder and the deadline.

    Args:
        config: the config of the run, which verl sends to the workers.
        run_dir: the run's folder.
        limits: the limits of the run.

    Raises:
        FieldError: the config names another manager of agent loop workers.
    """
    agent, own = config.actor_rollout_ref.rollout.agent, f"{__name__}.{PlatformAgentLoopManager.__qualname__}"
    given = agent.get("agent_loop_manager_class")
    if given not in (None, own):
        raise FieldError("actor_rollout_ref.rollout.agent.agent_loop_manager_class", given, f"null, for {own}")
    with open_dict(config):
        agent.agent_loop_manager_class = own
        config[SECTION] = {"run_dir": str(run_dir), "trajectory_deadline_s": limits.trajectory_deadline_s}


class PlatformAgentLoopWorker(_Worker):  # type: ignore[misc]  # the class inside the actor has no static type
    """An agent loop worker in which no rollout can take longer than its deadline.

    verl takes a rollout that raises an error out of its group. Its error is written to ``failures.jsonl`` in the run's
    folder, so that the trainer can say why rollouts are missing.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.read_settings(self.config)

    def read_settings(self, config: DictConfig) -> None:
        """Reads the run's folder and the deadline from the config of the run, see :func:`configure`."""
        settings = config[SECTION]
        self._failures = FailureLog(Path(settings.run_dir))
        self._deadline_s = float(settings.trajectory_deadline_s)

    async def _run_agent_loop(
        self,
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        *,
        agent_name: str,
        trace: bool = True,
        **kwargs: Any,
    ) -> Any:
        try:
            return await self._bounded(
                super()._run_agent_loop(sampling_params, trajectory, agent_name=agent_name, trace=trace, **kwargs)
            )
        except Exception as error:
            rollout = f"{kwargs['uid']}-r{kwargs['session_id']}"
            self._failures.append(int(trajectory["step"]), rollout, describe(error))
            raise

    async def _bounded(self, rollout: Any) -> Any:
        try:
            async with asyncio.timeout(self._deadline_s) as limit:
                return await rollout
        except TimeoutError as error:
            if not limit.expired():
                raise  # of something inside the rollout
            raise TrajectoryDeadlineError(
                f"a rollout took longer than trajectory_deadline_s, {self._deadline_s:g} s"
            ) from error


class PlatformAgentLoopManager(AgentLoopManagerTQ):
    """verl's manager of agent loop workers, with the workers of this module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # verl gives it no types
        self.agent_loop_workers_class = ray.remote(PlatformAgentLoopWorker)
