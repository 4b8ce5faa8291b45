"""verl's training workers, with a process group that works on a CPU and with seeded random states."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch
from verl.utils.device import get_device_name
from verl.utils.distributed import initialize_global_process_group_ray
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker

from memupdate.platform import batch_invariant
from memupdate.platform.processes import TRAINER_THREADS


class SeededTrainingWorker(TrainingWorker):
    """A training worker whose random generators are seeded from the config.

    verl does not seed the generators of Python, numpy and torch, but saves their states in checkpoints. Without seeds,
    two runs of the same config would differ from the start.
    """

    def __init__(self, config: Any) -> None:
        if get_device_name() == "cpu":
            # verl would request the backend "cpu:gloo,cpu:gloo", and torch refuses a repeated device. If there is a
            # group already, verl's own call does nothing.
            initialize_global_process_group_ray(backend="cpu:gloo")
        super().__init__(config)
        torch.set_num_threads(int(os.environ[TRAINER_THREADS]))
        batch_invariant.enable_if_asked()
        seed = int(config.engine_config.seed) + int(os.environ["RANK"])
        random.seed(seed)
        np.random.seed(seed)  # verl saves the global generator
        torch.manual_seed(seed)  # seeds all devices


class SeededActorRolloutRefWorker(ActorRolloutRefWorker):
    """The colocated actor, rollout and reference worker with seeded training workers."""

    actor_worker_cls = SeededTrainingWorker
    ref_worker_cls = SeededTrainingWorker
