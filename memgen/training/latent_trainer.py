"""GRPO of a latent method: what a latent run adds to the platform's trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.single_controller.base.decorator import Dispatch, register

import memgen.training.plugin  # noqa: F401  the model class, for processes that build no engine
from memgen.methods import method_of_checkpoint
from memgen.training.engine import LatentEngine
from memgen.training.rollouts import LatentTrajectory, read_latent_trajectories
from memupdate.platform.launcher import PlatformTaskRunner
from memupdate.platform.replay import trajectory_order
from memupdate.platform.trace import objects
from memupdate.platform.trainer import PlatformTrainer
from memupdate.platform.workers import SeededActorRolloutRefWorker


class LatentWorker(SeededActorRolloutRefWorker):
    """The platform's worker, which can write the model that it trained."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # type: ignore[attr-defined, untyped-decorator]  # verl adds the modes at run time
    def export_model(self, folder: str) -> None:
        """See :meth:`memgen.training.engine.LatentEngine.export`."""
        assert self.actor is not None
        assert isinstance(self.actor.engine, LatentEngine)
        self.actor.engine.export(Path(folder))


class LatentTrainer(PlatformTrainer):
    """Logs ``memgen/*``: reward and counts of a step's trajectories, and the method's penalty."""

    section = "memgen"
    worker_class = LatentWorker

    def read_trajectories(self, batch: KVBatchMeta, split: str) -> list[LatentTrajectory]:
        """Returns the batch's trajectories, in order."""
        return read_latent_trajectories(batch, self.tokenizer, split, self.global_steps)

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        if self.settings.penalty_weight > 0:
            self._take_penalties(batch, metrics)
        return super()._compute_advantage(batch, metrics)

    def _take_penalties(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> None:
        """Takes each trajectory's penalty off its reward, before advantages are made of it."""
        keys = [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]
        data = tq.kv_batch_get(keys=keys, partition_id=batch.partition_id, select_fields=["rm_scores", "extra_fields"])
        scored = [fields["reward_extra_info"] for fields in objects(data["extra_fields"])]
        method = method_of_checkpoint(Path(self.config.actor_rollout_ref.model.path))
        penalties = method.penalties(
            [trajectory_order(key)[0] for key in keys],
            [info["reward"] for info in scored],
            scored,
            float(self.settings.penalty_weight),
        )
        scores = data["rm_scores"].clone()  # a reward stands at the last id of its response
        last = scores.offsets()[1:] - 1
        scores.values()[last] -= scores.values().new_tensor(penalties)
        tq.kv_batch_put(
            keys=keys, partition_id=batch.partition_id, fields=TensorDict({"rm_scores": scores}, batch_size=len(keys))
        )
        metrics[f"memgen/{method.penalty_name}"] = sum(penalties) / len(penalties)

    def export_model(self) -> None:
        """Writes ``model/`` in the run's folder."""
        self.actor_rollout_wg.export_model(str(Path(self.settings.run_dir) / "model"))


class LatentTaskRunner(PlatformTaskRunner):
    """Trains, and exports the model at the end."""

    def make_trainer(self, config: DictConfig) -> LatentTrainer:
        """Returns the trainer of latents."""
        return LatentTrainer(config=config)

    def finish(self) -> None:
        """Writes the model."""
        self.trainer.export_model()
