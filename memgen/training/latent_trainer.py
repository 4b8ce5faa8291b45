"""The platform's trainer with the additions for GRPO of a latent method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.single_controller.base.decorator import Dispatch, register

import memgen.training.plugin  # noqa: F401  registers the model class in processes that build no engine
from memgen.methods import method_of_checkpoint
from memgen.training.engine import LatentEngine
from memgen.training.penalties import advantage_changes
from memgen.training.rollouts import LatentTrajectory, read_latent_trajectories
from memupdate.platform.launcher import PlatformTaskRunner
from memupdate.platform.replay import trajectory_order
from memupdate.platform.trace import objects
from memupdate.platform.trainer import PlatformTrainer
from memupdate.platform.workers import SeededActorRolloutRefWorker


class LatentWorker(SeededActorRolloutRefWorker):
    """The platform's worker with an export of the trained model."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # type: ignore[attr-defined, untyped-decorator]  # verl adds the modes at run time
    def export_model(self, folder: str) -> None:
        """Exports the model to ``folder``, see :meth:`memgen.training.engine.LatentEngine.export`."""
        assert self.actor is not None
        assert isinstance(self.actor.engine, LatentEngine)
        self.actor.engine.export(Path(folder))


class LatentTrainer(PlatformTrainer):
    """The trainer of a latent method. It logs as ``memgen/*`` the reward and the counts of a step, and the penalty."""

    section = "memgen"
    worker_class = LatentWorker

    def read_trajectories(self, batch: KVBatchMeta, split: str) -> list[LatentTrajectory]:
        """Returns the trajectories of a batch, in order."""
        return read_latent_trajectories(batch, self.tokenizer, split, self.global_steps)

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        batch = super()._compute_advantage(batch, metrics)
        if self.settings.penalty_weight > 0:
            self._take_penalties(batch, metrics)
        return batch

    def _take_penalties(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> None:
        """Takes each trajectory's penalty from its advantage, see :mod:`memgen.training.penalties`."""
        keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
        fields = ["advantages", "response_mask", "extra_fields"]
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=fields)
        scored = [loop["reward_extra_info"] for loop in objects(data["extra_fields"])]
        groups = [trajectory_order(key)[0] for key in keys]
        method = method_of_checkpoint(Path(self.config.actor_rollout_ref.model.path))
        penalties = method.penalties(
            groups, [info["reward"] for info in scored], scored, float(self.settings.penalty_weight)
        )
        advantages = data["advantages"].clone()
        changes = advantages.values().new_tensor(advantage_changes(groups, penalties))
        lengths = advantages.offsets().diff()
        # Only actions have an advantage.
        advantages.values().add_(changes.repeat_interleave(lengths) * data["response_mask"].values())
        tq.kv_batch_put(
            keys=keys,
            partition_id=batch.partition_id,
            fields=TensorDict({"advantages": advantages}, batch_size=len(keys)),
        )
        metrics[f"memgen/{method.penalty_name}"] = sum(penalties) / len(penalties)

    def export_model(self) -> None:
        """Writes the trained model to ``model/`` in the run's folder."""
        self.actor_rollout_wg.export_model(str(Path(self.settings.run_dir) / "model"))


class LatentTaskRunner(PlatformTaskRunner):
    """The task runner of a latent run. It trains, then exports the model."""

    def make_trainer(self, config: DictConfig) -> LatentTrainer:
        """Returns the trainer of a latent method."""
        return LatentTrainer(config=config)

    def finish(self) -> None:
        """Exports the trained model."""
        self.trainer.export_model()
