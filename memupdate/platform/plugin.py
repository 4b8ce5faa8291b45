"""Registers the CPU training engine and the rollout engines with verl.

``actor_rollout_ref.model.external_lib`` names this module, or a module that imports it. verl imports it in the task
runner, in every training worker, in every agent-loop worker and in the rollout servers, before it looks up engines and
rollouts. verl does not import it in reward workers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from verl.utils.device import get_device_name
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.rollout import base as rollout_base
from verl.workers.rollout.replica import RolloutReplicaRegistry

from memupdate.platform.rollout.table import ROLLOUTS


def register_rollouts() -> None:
    """Registers every rollout engine of the table with verl, both its server and the trainer's weight sync."""
    for name in ROLLOUTS:
        RolloutReplicaRegistry.register(name, partial(ROLLOUTS.load, name))
        # verl has a public register call only for the server. For the trainer's side there is only a private dict of
        # class names. verl_private.py lists it with the other private names.
        rollout_base._ROLLOUT_REGISTRY[(name, "async")] = "memupdate.platform.rollout.snapshot.SnapshotWeightPush"


register_rollouts()


class CPUEngineMixin:
    """Builds the FSDP2 module of a reference model on a CPU without pinned memory, which would need an accelerator.

    verl's engine always uses ``CPUOffloadPolicy(pin_memory=True)`` if ``forward_only`` is set. On a CPU there is
    nothing to offload.
    """

    engine_config: Any

    def _build_fsdp_module(self, module: Any) -> Any:
        config = self.engine_config
        saved = config.forward_only, config.offload_policy
        if get_device_name() == "cpu":
            object.__setattr__(config, "forward_only", False)
            object.__setattr__(config, "offload_policy", False)
        try:
            return super()._build_fsdp_module(module)  # type: ignore[misc]
        finally:
            object.__setattr__(config, "forward_only", saved[0])
            object.__setattr__(config, "offload_policy", saved[1])


@EngineRegistry.register(model_type="language_model", backend=["fsdp", "fsdp2"], device="cpu")
class CPULanguageModelEngine(CPUEngineMixin, FSDPEngineWithLMHead):
    """verl's FSDP engine for the device ``cpu``, for which verl registers no engine."""
