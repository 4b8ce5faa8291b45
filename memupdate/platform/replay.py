"""A replay buffer that returns finished trajectories in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer


def trajectory_order(key: str) -> tuple[str, int, int]:
    """Returns the sort key of a TransferQueue key ``{uid}_{session}_{segment}``."""
    uid, session, segment = key.rsplit("_", 2)
    return uid, int(session), int(segment)


class OrderedReplayBuffer(ReplayBuffer):
    """verl's synchronous replay buffer with a fixed order and a shorter polling interval.

    Trajectories finish in any order, and a floating-point sum over a batch depends on the order of its rows. This class
    sorts them by prompt, rollout and segment. A step then depends only on its trajectories, so a resumed run repeats it
    bit for bit. verl's default interval of 2 s takes longer than a whole step of a small model.

    Attributes:
        on_wait: is called at each poll while rollouts are missing. It raises an error to end the wait.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["poll_interval"] = 0.05
        super().__init__(*args, **kwargs)
        self.on_wait: Callable[[], None] = lambda: None

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        self.on_wait()
        return super()._wait_for_next_poll(partition_id, last_debug_time)

    def _select_prompt_uids(
        self, partition_id: str, sampleable_keys: set[str], batch_size: int
    ) -> tuple[list[str], dict[str, dict[str, Any]], dict[str, int]]:
        steps = dict(self.prompt_global_steps[partition_id])
        ordered = sorted(sampleable_keys, key=lambda uid: (steps.get(uid, 0), uid))
        return ordered[:batch_size], dict(self.partitions[partition_id]), steps

    def _materialize_batch(
        self, partition_id: str, selected_prompt_uids: list[str], partition_snapshot: dict[str, dict[str, Any]]
    ) -> KVBatchMeta:
        ordered = {key: partition_snapshot[key] for key in sorted(partition_snapshot, key=trajectory_order)}
        return super()._materialize_batch(partition_id, selected_prompt_uids, ordered)
