"""What verl loads by name: engines and rollouts of this project.

verl imports this module where ``actor_rollout_ref.model.external_lib`` names it: in the task runner, every training
worker, every agent-loop worker and the rollout servers, before engines and rollouts are resolved. Not in reward
workers.
"""

from __future__ import annotations

from typing import Any

from verl.utils.device import get_device_name
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.rollout import base as rollout_base
from verl.workers.rollout.replica import RolloutReplica, RolloutReplicaRegistry

import memupdate.agents.parser  # noqa: F401  registers the tool-call parser that keeps malformed calls


def _torch_replica() -> type[RolloutReplica]:
    from memupdate.platform.rollout.torch_server import TorchReplica

    return TorchReplica


def _sglang_cpu_replica() -> type[RolloutReplica]:
    from memupdate.platform.rollout.sglang_cpu import SGLangCPUReplica

    return SGLangCPUReplica


RolloutReplicaRegistry.register("torch", _torch_replica)
RolloutReplicaRegistry.register("sglang_cpu", _sglang_cpu_replica)
# verl has no register call for the trainer's side of a rollout: a dict of class names is all there is. This is the
# only place where the project touches a private name of verl.
rollout_base._ROLLOUT_REGISTRY[("torch", "async")] = "memupdate.platform.rollout.snapshot.SnapshotWeightPush"
rollout_base._ROLLOUT_REGISTRY[("sglang_cpu", "async")] = "memupdate.platform.rollout.snapshot.SnapshotWeightPush"


class CPUEngineMixin:
    """Builds the FSDP2 module of a reference model without pinned memory, which needs an accelerator.

    verl's engine hard-codes ``CPUOffloadPolicy(pin_memory=True)`` where ``forward_only`` is set; on a CPU there is
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
    """verl's FSDP engine under the registry key that it lacks: ``device="cpu"``."""
