"""A replay buffer that returns finished trajectories in a fixed order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from memupdate.errors import FieldError

# The keys of trainer.v1.sampler.sampler_kwargs. In the config files they refer to verl's own settings.
PASSED_ON = ("filter_groups", "sync_refill_failed_groups", "train_batch_size")


def trajectory_order(key: str) -> tuple[str, int, int]:
    """Returns the sort key of a TransferQueue key ``{uid}_{session}_{segment}``."""
    uid, session, segment = key.rsplit("_", 2)
    return uid, int(session), int(segment)


class OrderedReplayBuffer(ReplayBuffer):
    """verl's synchronous replay buffer with a fixed order and a shorter polling interval.

    Trajectories finish in any order, and a floating-point sum over a batch depends on the order of its rows. This class
    sorts them by prompt, rollout and segment. A step then depends only on its trajectories, so a resumed run repeats it
    bit for bit. verl's default interval of 2 s takes longer than a whole step of a small model.

    Group filtering (``algorithm.filter_groups``) and the refill of failed groups
    (``trainer.v1.sampler.sync_refill_failed_groups``) are verl's. How many prompts they ask for depends on which
    rollouts finish first, so with them a resumed run does not repeat a step bit for bit.

    Attributes:
        on_wait: is called at each poll while rollouts are missing. It raises an error to end the wait.
    """

    def __init__(self, *, sampler_kwargs: DictConfig, **kwargs: Any) -> None:
        """verl gives the settings of group filtering and refill to its own buffer only, so ours are in its kwargs.

        Raises:
            FieldError: ``sampler_kwargs`` lacks these settings.
        """
        if set(sampler_kwargs) != set(PASSED_ON):
            field = "trainer.v1.sampler.sampler_kwargs"
            raise FieldError(
                field, dict(sampler_kwargs), f"{', '.join(PASSED_ON)}, as in configs/memory_grpo_base.yaml"
            )
        groups, refills = sampler_kwargs.filter_groups, bool(sampler_kwargs.sync_refill_failed_groups)
        batch = int(sampler_kwargs.train_batch_size)
        super().__init__(
            **kwargs,
            sampler_kwargs=sampler_kwargs,
            poll_interval=0.05,
            filter_groups_metric=str(groups.metric) if groups.enable else None,
            sync_refill_failed_groups=refills,
            train_batch_size=batch,
            gen_batch_size=1 if groups.enable or refills else batch,
            max_inflight_gen_batches=groups.max_inflight_gen_batches if groups.enable else 1,
        )
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
