"""GRPO on memory trajectories: what a memory run adds to the platform's trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transfer_queue import KVBatchMeta

from memupdate.platform.metrics import by_category
from memupdate.platform.trace import MemoryTrajectory, read_trajectories
from memupdate.platform.trainer import PlatformTrainer


class MemoryTrainer(PlatformTrainer):
    """Logs ``memory/*`` (reward parts, memory counts, calls and errors per tool), and validates per LoCoMo category."""

    section = "memory"

    def read_trajectories(self, batch: KVBatchMeta, split: str) -> list[MemoryTrajectory]:
        """The batch's memory trajectories, in order."""
        return read_trajectories(batch, self.tokenizer, split, self.global_steps)

    def validation_metrics(self, rewards: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Per category: how many, and the means of the reward's parts."""
        return by_category(rewards, "validation")
