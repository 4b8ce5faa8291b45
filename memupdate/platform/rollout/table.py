"""The table of rollout engines that verl can use besides its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memupdate.tables import Table

if TYPE_CHECKING:
    from memupdate.platform.rollout.snapshot import SnapshotReplica

# Each entry is a subclass of SnapshotReplica, which loads the folder that the trainer writes at every weight sync. An
# engine with another kind of weight sync must register with verl directly.
ROLLOUTS: Table[type[SnapshotReplica]] = Table(
    "memupdate.rollouts",
    "actor_rollout_ref.rollout.name",
    {
        "sglang_cpu": "memupdate.platform.rollout.sglang_cpu:SGLangCPUReplica",
        "torch": "memupdate.platform.rollout.torch_server:TorchReplica",
    },
)
