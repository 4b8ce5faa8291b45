"""verl's training workers for the CPU platform."""

from __future__ import annotations

from typing import Any

from verl.utils.distributed import initialize_global_process_group_ray
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker


class CPUTrainingWorker(TrainingWorker):
    """A training worker whose process group exists before verl asks for one.

    verl would ask for the backend ``cpu:gloo,cpu:gloo`` and torch refuses a device named twice; verl's call does
    nothing when a group is there already.
    """

    def __init__(self, config: Any) -> None:
        initialize_global_process_group_ray(backend="cpu:gloo")
        super().__init__(config)


class CPUActorRolloutRefWorker(ActorRolloutRefWorker):
    """The colocated actor, rollout and reference worker, made of CPU training workers."""

    actor_worker_cls = CPUTrainingWorker
    ref_worker_cls = CPUTrainingWorker
