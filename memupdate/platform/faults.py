"""What a trainer does so that a fault ends the run with its first cause, and never hangs it or trains on what is left.

Dead processes and overdue steps are found by :mod:`memupdate.platform.watch`. Rollouts that failed are counted, and too
many of them end the run. A run that ended resumes from its last checkpoint when it is started again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import transfer_queue as tq
from omegaconf import DictConfig
from ray.actor import ActorHandle
from transfer_queue import KVBatchMeta

from memupdate.errors import MemupdateError, RunStoppedError
from memupdate.failures import FailureLog, describe
from memupdate.platform import agent_workers
from memupdate.platform.limits import Limits, LostRolloutsError
from memupdate.platform.replay import trajectory_order
from memupdate.platform.rollout.snapshot import SnapshotReplica
from memupdate.platform.trace import objects
from memupdate.platform.watch import RunFaultError, RunWatch, Watched

# Under these names, every client of the TransferQueue finds its controller.
QUEUE, QUEUE_NAMESPACE = "TransferQueueController", "transfer_queue"
# A reward manager sets this to 1 in ``reward_extra_info`` if it could not score the rollout.
UNSCORED = "reward_error"


class RunFaults:
    """The faults of one run: its watch, its limits and its failed rollouts.

    Args:
        run_dir: the run's folder.
        limits: the run's limits.
        section: the name of the config section that holds the limits.

    Attributes:
        watch: the watch of the run's processes and deadlines.
    """

    def __init__(self, run_dir: Path, limits: Limits, section: str) -> None:
        self.watch = RunWatch(run_dir)
        self._run_dir = run_dir
        self._limits = limits
        self._section = section
        self._failures = FailureLog(run_dir)
        self._part, self._expected = "start", 0
        self._mark = self._read_until = self._failures.size()

    def configure(self, config: DictConfig) -> None:
        """Gives the run the agent loop workers that keep the deadline of a rollout and record failures."""
        agent_workers.configure(config, self._run_dir, self._limits)

    def begin_step(self, step: int, rollouts: int) -> None:
        """Begins a training step: its deadline, and the count of its failed rollouts.

        Args:
            step: the training step.
            rollouts: the rollouts of the step.
        """
        self._begin(f"step {step}", rollouts, 1)

    def begin_validation(self, step: int, rollouts: int, rollouts_per_step: int) -> None:
        """Begins a validation. Its deadline grows with its size.

        Args:
            step: the training step of the policy.
            rollouts: the rollouts of the validation.
            rollouts_per_step: the rollouts of a training step.
        """
        self._begin(f"validation of step {step}", rollouts, math.ceil(rollouts / rollouts_per_step))

    def _begin(self, part: str, rollouts: int, steps: int) -> None:
        self.watch.check()
        self._part, self._expected, self._mark = part, rollouts, self._failures.size()
        self._read_until = self._mark
        self.watch.allow(f"{part} ({self._section}.step_deadline_s)", steps * self._limits.step_deadline_s)

    def check(self) -> None:
        """Checks the watch and, if there are new failures, how many rollouts of the current part have failed.

        Raises:
            RunFaultError: a process has died, or the deadline has passed.
            LostRolloutsError: more rollouts have failed than ``max_failed_rollouts`` allows.
        """
        self.watch.check()
        size = self._failures.size()
        if size > self._read_until:
            self._read_until = size
            failed = {failure.rollout for failure in self._failures.since(self._mark)}
            self.check_lost(self._expected - len(failed), self._expected)

    def check_lost(self, found: int, expected: int) -> None:
        """Checks how many rollouts of a batch or a validation are missing.

        Args:
            found: the rollouts that are there.
            expected: the rollouts that were asked for.

        Raises:
            RunFaultError: a process has died, which is the reason.
            LostRolloutsError: more are missing than ``max_failed_rollouts`` allows.
        """
        share, lost = self._limits.max_failed_rollouts, expected - found
        if lost > share * expected:
            self.watch.settle()
            raise LostRolloutsError(
                f"{self._part}: {lost} of {expected} rollouts failed; {self._section}.max_failed_rollouts allows "
                f"a share of {share:g}; {self._first()}"
            )

    def _first(self) -> str:
        failed = self._failures.since(self._mark)
        if not failed:
            return f"{self._failures.path.name} names none of them"
        first = failed[0]
        return f"the first: {first.error} (rollout {first.rollout}, pid {first.pid}, log {first.log or 'unknown'})"

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Writes the first cause of an error in the block to the run's folder, and limits the time until the end."""
        try:
            yield
        except RunStoppedError:
            self.watch.stop()
            raise
        except (RunFaultError, LostRolloutsError) as error:
            self.watch.fail(describe(error))
            raise
        except BaseException as error:
            # The error may be a consequence: verl says only that no rollout is left, or a worker does not answer.
            try:
                self.watch.settle()
                self.check()
            except MemupdateError as first:
                self.watch.fail(describe(first))
                raise first from error
            self.watch.fail(describe(error))
            raise


def actors_of(trainer: Any, agent_loop_manager: Any) -> list[Watched]:
    """Returns verl's actors of a run: training workers, servers and their router, reward and agent loop workers.

    Args:
        trainer: verl's trainer, after its ``init``.
        agent_loop_manager: verl's manager of agent loop workers.
    """
    groups: list[tuple[str, list[Any], bool]] = [("training worker", trainer.actor_rollout_wg.workers, False)]
    for replica in trainer.llm_server_manager.get_replicas():
        restarts = isinstance(replica, SnapshotReplica)
        groups.append((f"rollout server {replica.replica_rank}", replica.servers, not restarts))
    router = trainer.llm_server_manager.global_load_balancer
    if isinstance(router, ActorHandle):  # a router of the user's own may be something else
        groups.append(("router of rollout servers", [router], False))
    groups.append(("reward worker", trainer.reward_loop_manager.reward_loop_workers, False))
    groups.append(("agent loop worker", agent_loop_manager.agent_loop_workers, False))
    return [
        Watched(f"{role}/{number}", handle, engine)
        for role, handles, engine in groups
        for number, handle in enumerate(handles)
    ]


def queue_controller() -> Watched:
    """Returns the controller of the TransferQueue. Without it, verl waits for the queue for ever."""
    return Watched("controller of the TransferQueue", ray.get_actor(QUEUE, namespace=QUEUE_NAMESPACE))


def rollouts_of(batch: KVBatchMeta) -> set[tuple[str, int]]:
    """Returns the rollouts of a batch, each as the prompt's uid and the rollout's number."""
    return {trajectory_order(key)[:2] for key in batch.keys}


def without_unscored(batch: KVBatchMeta) -> tuple[KVBatchMeta, int]:
    """Takes the rollouts that could not be scored out of a batch and out of the TransferQueue.

    A placeholder must not be trained on, nor count in the mean of its group.

    Args:
        batch: the rollouts of a step.

    Returns:
        The rollouts that have a score, and the number of rollouts that were taken out.
    """
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
    scored = [not fields.get("reward_extra_info", {}).get(UNSCORED) for fields in objects(data["extra_fields"])]
    if all(scored):
        return batch, 0
    unscored = KVBatchMeta(
        partition_id=batch.partition_id,
        keys=[key for key, good in zip(batch.keys, scored, strict=True) if not good],
        tags=[tag for tag, good in zip(batch.tags, scored, strict=True) if not good],
    )
    tq.kv_clear(keys=unscored.keys, partition_id=batch.partition_id)
    kept = KVBatchMeta(
        partition_id=batch.partition_id,
        keys=[key for key, good in zip(batch.keys, scored, strict=True) if good],
        tags=[tag for tag, good in zip(batch.tags, scored, strict=True) if good],
    )
    kept.extra_info.update(batch.extra_info)
    return kept, len(rollouts_of(unscored))
