"""verl's training workers, with a process group that works on a CPU and random states that a run repeats."""

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

# Environment variable: verl hands its workers no section of a config but its own.
TRAINER_THREADS = "MEMUPDATE_TRAINER_THREADS"


class SeededTrainingWorker(TrainingWorker):
    """A training worker whose random states start from the config.

    verl leaves the generators of Python, numpy and torch as the operating system seeded them, and saves them in
    checkpoints. Two runs of one config would differ before their first step.
    """

    def __init__(self, config: Any) -> None:
        if get_device_name() == "cpu":
            # verl would ask for the backend "cpu:gloo,cpu:gloo", and torch refuses a device that is named twice. verl's
            # own call does nothing if there is a group already.
            initialize_global_process_group_ray(backend="cpu:gloo")
        super().__init__(config)
        torch.set_num_threads(int(os.environ[TRAINER_THREADS]))
        batch_invariant.enable_if_asked()
        seed = int(config.engine_config.seed) + int(os.environ["RANK"])
        random.seed(seed)
        np.random.seed(seed)  # the global generator is the one that verl saves
        torch.manual_seed(seed)  # every device's


class SeededActorRolloutRefWorker(ActorRolloutRefWorker):
    """The colocated actor, rollout and reference worker, made of seeded training workers."""

    actor_worker_cls = SeededTrainingWorker
    ref_worker_cls = SeededTrainingWorker
