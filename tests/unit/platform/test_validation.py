"""A validation in which every rollout failed ends with an error that says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transfer_queue import KVBatchMeta

from memupdate.errors import MemupdateError
from memupdate.platform import trainer as trainers
from memupdate.platform.faults import RunFaults
from memupdate.platform.limits import Limits
from memupdate.platform.trainer import PlatformTrainer


class Failing(PlatformTrainer):
    """A trainer whose rollouts all fail. verl's own set-up is left out."""

    def __init__(self, run_dir: Path) -> None:
        objects = np.empty(2, dtype=object)
        objects[:] = [[{"role": "user", "content": "?"}]] * 2
        self.global_steps = 0
        self.settings = SimpleNamespace(run_dir=str(run_dir))
        self.faults = RunFaults(run_dir, Limits(1, 1, 0.0), "memory")
        self.config = SimpleNamespace(
            data=SimpleNamespace(train_batch_size=1),
            actor_rollout_ref=SimpleNamespace(rollout=SimpleNamespace(n=1, val_kwargs=SimpleNamespace(n=1))),
        )
        self.val_dataset = [0, 1]
        self.val_dataloader = [{"raw_prompt": objects}]
        self.agent_loop_manager = SimpleNamespace(generate_sequences=lambda prompts: None)
        self.replay_buffer = SimpleNamespace(sample=self._nothing)

    def _nothing(self, step: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, None]:
        return KVBatchMeta(partition_id=partition_id, keys=[], tags=[]), None

    def read_trajectories(self, batch: KVBatchMeta, split: str) -> Any:
        raise ValueError("Received an empty list as keys")


def test_a_validation_without_a_rollout_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainers.tq, "kv_batch_put", lambda **given: None)
    with pytest.raises(MemupdateError, match=r"validation of step 0: all 2 rollouts failed.*train\.log"):
        Failing(tmp_path)._validate()
