"""The table of rollout engines that verl serves a policy with, beside verl's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memupdate.tables import Table

if TYPE_CHECKING:
    from memupdate.platform.rollout.snapshot import SnapshotReplica

# Each entry is a subclass of SnapshotReplica: it loads the folder that the trainer writes at every weight sync. An
# engine that gets its weights in another way registers with verl itself.
ROLLOUTS: Table[type[SnapshotReplica]] = Table(
    "memupdate.rollouts",
    "actor_rollout_ref.rollout.name",
    {
        "sglang_cpu": "memupdate.platform.rollout.sglang_cpu:SGLangCPUReplica",
        "torch": "memupdate.platform.rollout.torch_server:TorchReplica",
    },
)
