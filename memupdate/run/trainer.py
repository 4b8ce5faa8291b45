"""GRPO on memory trajectories: the trainer and the task runner of memory runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta

from memupdate.broker.routing import shard_name
from memupdate.platform.launcher import PlatformTaskRunner
from memupdate.platform.trainer import PlatformTrainer
from memupdate.platform.watch import Watched
from memupdate.run.metrics import by_category
from memupdate.run.traces import MemoryTrajectory, read_trajectories


class MemoryTrainer(PlatformTrainer):
    """The trainer of memory runs.

    It logs ``memory/*`` (reward parts, memory counts, calls and errors per tool), and validation metrics by LoCoMo
    category.
    """

    section = "memory"

    def read_trajectories(self, batch: KVBatchMeta, split: str) -> list[MemoryTrajectory]:
        """Returns the memory trajectories of a batch, in order."""
        return read_trajectories(batch, self.tokenizer, split, self.global_steps)

    def validation_metrics(self, rewards: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Returns, for each LoCoMo category, the number of rollouts and the means of the reward's parts."""
        return by_category(rewards, "validation")

    def services(self) -> list[Watched]:
        """Returns the shards of the broker."""
        names = (shard_name(self.settings.broker_name, shard) for shard in range(self.settings.broker_shards))
        return [Watched(f"broker shard {name}", ray.get_actor(name)) for name in names]


class MemoryTaskRunner(PlatformTaskRunner):
    """Runs the memory broker and the memory trainer.

    The broker's actors live as long as this object. Reward workers and rollout workers find the broker by its name.
    """

    def start_services(self, config: DictConfig) -> None:
        """Starts the broker with empty banks."""
        from memupdate.broker import start_broker

        # A resumed run repeats its unfinished trajectories under the same namespaces, so the old banks are dropped.
        self.broker = start_broker(config.memory, fresh=True)

    def make_trainer(self, config: DictConfig) -> MemoryTrainer:
        """Returns the memory trainer."""
        return MemoryTrainer(config=config)
