"""verl's synchronous GRPO trainer with a fixed data order, exact resume, a mismatch alarm, metrics and traces."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import ray
import transfer_queue as tq
from omegaconf import open_dict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.utils import Role
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn

from memupdate.errors import FieldError, MemupdateError
from memupdate.platform import checkpoints, root_cause
from memupdate.platform.faults import UNSCORED, RunFaults, actors_of, queue_controller, rollouts_of, without_unscored
from memupdate.platform.limits import Limits
from memupdate.platform.metrics import MetricsFile, means
from memupdate.platform.position import DataPosition
from memupdate.platform.replay import OrderedReplayBuffer
from memupdate.platform.stopping import StopRequests
from memupdate.platform.trace import TraceWriter, Trajectory
from memupdate.platform.watch import Watched
from memupdate.platform.workers import SeededActorRolloutRefWorker

logger = logging.getLogger(__name__)


class PolicyMismatchError(MemupdateError):
    """The log-probs of the rollout engine and of the trainer differ by more than the config allows."""


class PlatformTrainer(PPOTrainerSync):
    """A GRPO trainer for trajectories of any kind. Jobs subclass it and implement ``read_trajectories``.

    In addition to verl's metrics, it logs ``training/rollout_log_prob_diff_*`` (rollout versus trainer) and
    ``validation/*``, and writes ``metrics.jsonl`` and ``trace/*.jsonl`` to the run's folder.

    Attributes:
        section: the name of the config section with the run's settings (``run_dir``, ``checkpoints_to_keep``,
            ``mismatch`` and ``trace``). It is also the prefix of the metrics of a step's trajectories.
        worker_class: the class of the colocated worker.
    """

    section: ClassVar[str]
    worker_class: ClassVar[type] = SeededActorRolloutRefWorker

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.settings = config[self.section]
        run_dir = Path(self.settings.run_dir)
        root_cause.clear(run_dir)
        self.faults = RunFaults(run_dir, Limits.of(self.settings, self.section), self.section)
        self.faults.configure(config)
        self._metrics_file = MetricsFile(run_dir / "metrics.jsonl")
        self._trace = TraceWriter(run_dir / "trace", self.settings.trace)
        self.position: DataPosition
        self._stop = StopRequests(run_dir)
        self._drawn_before_step = 0

    def read_trajectories(self, batch: KVBatchMeta, split: str) -> Sequence[Trajectory]:
        """Returns the trajectories of a batch, in order.

        Args:
            batch: the batch's keys in the TransferQueue.
            split: ``train`` or ``validation``.
        """
        raise NotImplementedError

    def validation_metrics(self, rewards: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Returns metrics of a validation in addition to the means of all numbers in the rewards. The default is none.

        Args:
            rewards: the rewards of the validation's trajectories.
        """
        return {}

    def services(self) -> list[Watched]:
        """Returns the actors of the job's services, without which the run cannot go on. The default is none."""
        return []

    # ------------------------------------------------------------------ faults

    def init(self) -> None:
        """Starts verl's workers. The cause of a failure is written to the run's folder."""
        with self.faults.reported():
            super().init()  # type: ignore[no-untyped-call]

    def fit(self, agent_loop_manager: Any) -> None:
        """Trains until the last step, and watches all processes meanwhile. See :mod:`memupdate.platform.faults`."""
        if isinstance(self.replay_buffer, OrderedReplayBuffer):
            self.replay_buffer.on_wait = self.faults.check
        with self.faults.reported():
            self.faults.watch.start([*actors_of(self, agent_loop_manager), queue_controller(), *self.services()])
            super().fit(agent_loop_manager)
            self.faults.watch.check()
            self.faults.watch.stop()

    def on_step_begin(self) -> None:
        """Begins the deadline of the step, unless the run was asked to stop."""
        super().on_step_begin()  # type: ignore[no-untyped-call]
        self._stop.step_begins()
        self._drawn_before_step = self.position.drawn
        self._stop_if_asked()
        self.faults.begin_step(self.global_steps, self._rollouts_per_step)

    # ------------------------------------------------------------------ set-up

    def _init_resource_pool_mgr(self) -> None:
        super()._init_resource_pool_mgr()  # type: ignore[no-untyped-call]  # verl gives it no types
        for role in (Role.Actor, Role.ActorRollout, Role.ActorRolloutRef, Role.RefPolicy):
            if role in self.role_worker_mapping:
                self.role_worker_mapping[role] = ray.remote(self.worker_class)

    def _init_dataloader(self) -> None:
        super()._init_dataloader()  # type: ignore[no-untyped-call]
        size, batch = len(self.train_dataset), self.config.data.train_batch_size
        if size < batch:
            raise FieldError("data.train_batch_size", batch, f"at most {size}, the rows of data.train_files")
        self.position = DataPosition(size, self.config.data.seed)
        # verl stops after total_epochs even if total_training_steps is larger. Here only the number of steps counts.
        with open_dict(self.config):
            self.config.trainer.total_epochs = math.ceil((self.total_training_steps + 1) / self.steps_per_epoch) + 1

    # ------------------------------------------------------------------ data

    def _fetch_one_gen_batch(self) -> Any:
        count = self.config.data.get("gen_batch_size", None) or self.config.data.train_batch_size
        first = self.position.drawn
        batch = collate_fn([self.train_dataset[row] for row in self.position.next_rows(count)])
        # verl's uid is a uuid4. This one orders the batch and is the same after a resume. It has no "_", where verl
        # splits keys.
        batch["uid"] = np.array([f"d{first + offset:09d}" for offset in range(count)], dtype=object)
        return tu.get_tensordict(batch)

    # ------------------------------------------------------------------ checkpoints

    def on_sample_end(self) -> None:
        super().on_sample_end()  # type: ignore[no-untyped-call]
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        """Writes a checkpoint of the last finished step and raises RunStoppedError, if the run was asked to stop.

        It is called where the weights are still those of that step. The rollouts of the present step are given up.
        """
        reason = self._stop.reason()
        if reason is None:
            return
        done = self.global_steps - 1
        complete = checkpoints.complete_checkpoints(Path(self.config.trainer.default_local_dir))
        if done > 0 and done not in map(checkpoints.step_of, complete):
            self.global_steps, self.position.drawn = done, self._drawn_before_step
            self._save_checkpoint()
        raise self._stop.stopped(done, reason)

    def _save_checkpoint(self) -> None:
        root = Path(self.config.trainer.default_local_dir)
        folder = root / f"global_step_{self.global_steps}"
        checkpoints.begin(folder)
        super()._save_checkpoint()  # type: ignore[no-untyped-call]
        checkpoints.finish(folder, checkpoints.RunState(self.global_steps, self.position.drawn, self.position.seed))
        checkpoints.keep_newest(root, self.settings.checkpoints_to_keep)

    def _load_checkpoint(self) -> None:
        root = Path(self.config.trainer.default_local_dir)
        checkpoints.refuse_foreign(root)
        if self.config.trainer.resume_mode == "auto":
            checkpoints.recover(root)
        super()._load_checkpoint()  # type: ignore[no-untyped-call]
        if self.global_steps > 0:
            if self.config.trainer.resume_mode == "resume_path":
                folder = Path(self.config.trainer.resume_from_path)
            else:
                folder = root / f"global_step_{self.global_steps}"
            state = checkpoints.read_state(folder)
            if state.data_seed != self.position.seed:
                raise FieldError("data.seed", self.position.seed, f"{state.data_seed}, the seed of {folder}")
            self.position.drawn = state.rows_drawn
            logger.warning("resuming after step %d, %d prompts drawn", state.step, state.rows_drawn)
        self._metrics_file.resume_from(self.global_steps)
        self._trace.resume_from(self.global_steps)
        if self.global_steps > 0:
            with open_dict(self.config):  # the resumed run has done the first validation
                self.config.trainer.val_before_train = False

    # ------------------------------------------------------------------ no score, no gradient

    def _balance_batch(
        self, batch: KVBatchMeta, metrics: Any, logging_prefix: str = "global_seqlen", keep_minibatch: bool = False
    ) -> KVBatchMeta:
        """Takes rollouts without a score out of the batch, and ends the run if too many are missing."""
        batch, unscored = without_unscored(batch)
        metrics["training/unscored_rollouts"] = float(unscored)
        self.faults.check_lost(len(rollouts_of(batch)), self._rollouts_per_step // self.parameter_sync_step)
        return super()._balance_batch(batch, metrics, logging_prefix, keep_minibatch)

    @property
    def _rollouts_per_step(self) -> int:
        return int(self.config.data.train_batch_size * self.config.actor_rollout_ref.rollout.n)

    # ------------------------------------------------------------------ one policy on both sides

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_old_log_prob(batch, metrics)
        rollout = self.config.algorithm.get("rollout_correction", None)
        if not self.config.actor_rollout_ref.rollout.calculate_log_probs or (rollout and rollout.get("bypass_mode")):
            return batch
        fields = ["old_log_probs", "rollout_log_probs", "response_mask"]
        data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
        generated = data["response_mask"].values().bool()
        difference = (data["old_log_probs"].values() - data["rollout_log_probs"].values()).abs()[generated]
        largest = float(difference.max()) if difference.numel() else 0.0
        alarm = self.settings.mismatch.alarm
        metrics["training/rollout_log_prob_diff_max"] = largest
        metrics["training/rollout_log_prob_diff_mean"] = float(difference.mean()) if difference.numel() else 0.0
        metrics["training/rollout_log_prob_alarm"] = float(largest > alarm)
        if largest > alarm:
            message = (
                f"step {self.global_steps}: rollout and trainer log-probs differ by {largest:.3g} "
                f"({self.section}.mismatch.alarm: {alarm:g}): they do not hold the same policy"
            )
            if self.settings.mismatch.stop:
                raise PolicyMismatchError(message)
            logger.error(message)
        return batch

    # ------------------------------------------------------------------ metrics and traces

    def _compute_metrics(
        self, batch: KVBatchMeta, metrics: dict[str, Any], timing_raw: Any, global_steps: int, epoch: int
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        trajectories = self.read_trajectories(batch, "train")
        rows = [trajectory.reward for trajectory in trajectories]
        metrics |= {f"{self.section}/{name}": value for name, value in means(rows).items()}
        expected = self._rollouts_per_step
        metrics["training/rollout_failures"] = float(expected - len(trajectories))
        if len(trajectories) < expected:
            logger.error("step %d: %d of %d rollouts failed", global_steps, expected - len(trajectories), expected)
        metrics["perf/rollouts_per_second"] = len(trajectories) / timing_raw["step"]
        self._trace.write(trajectories, self.config.trainer.logger)
        own_line = {name: value for name, value in metrics.items() if not name.startswith("validation/")}
        self._metrics_file.append(global_steps, own_line)

    def _validate(self) -> dict[str, float]:
        """Generates and scores rollouts of the held-out prompts and returns the metrics.

        It replaces verl's validation, which gives prompts random uids, so that the order of sums differs between runs.

        Raises:
            MemupdateError: every rollout failed.
        """
        trajectories: list[Trajectory] = []
        expected = len(self.val_dataset) * self.config.actor_rollout_ref.rollout.val_kwargs.n
        self.faults.begin_validation(self.global_steps, expected, self._rollouts_per_step)
        for number, batch_dict in enumerate(self.val_dataloader):
            count = len(batch_dict["raw_prompt"])
            uids = [f"v{number:04d}{row:06d}" for row in range(count)]
            batch_dict["uid"] = np.array(uids, dtype=object)
            prompts = tu.get_tensordict(batch_dict)
            tu.assign_non_tensor_data(prompts, "global_steps", self.global_steps)
            tu.assign_non_tensor_data(prompts, "validate", True)
            tags = [{"is_prompt": True, "status": "pending", "global_steps": self.global_steps} for _ in uids]
            tq.kv_batch_put(keys=uids, partition_id="val", tags=tags)
            self.agent_loop_manager.generate_sequences(prompts)
            batch, _ = self.replay_buffer.sample(self.global_steps, partition_id="val", batch_size=count)
            if batch.keys:  # none if every rollout of the batch failed; the queue takes no empty list
                trajectories += self.read_trajectories(batch, "validation")
                tq.kv_clear(keys=batch.keys, partition_id=batch.partition_id)
        if not trajectories:
            raise MemupdateError(
                f"validation of step {self.global_steps}: all {expected} rollouts failed; their errors are in "
                f"{Path(self.settings.run_dir) / 'train.log'}"
            )
        rows = [trajectory.reward for trajectory in trajectories if not trajectory.reward.get(UNSCORED)]
        self.faults.check_lost(len(rows), expected)
        metrics = {f"validation/{name}": value for name, value in means(rows).items()}
        metrics |= self.validation_metrics(rows)
        metrics["validation/n"] = float(len(rows))
        metrics["validation/rollout_failures"] = float(expected - len(rows))
        metrics["validation/unscored_rollouts"] = float(len(trajectories) - len(rows))
        self._trace.write(trajectories, self.config.trainer.logger)
        self._metrics_file.append(self.global_steps, metrics)
        return metrics
