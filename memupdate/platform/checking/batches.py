"""Checks of how a step's rollouts are divided over updates and training workers."""

from __future__ import annotations

from omegaconf import DictConfig

from memupdate.checks import check_bool, check_positive_int, check_text
from memupdate.errors import FieldError
from memupdate.platform.checking.fields import ACTOR, value_of


def check_batches(config: DictConfig) -> None:
    """Checks that updates divide a step's prompts, and that training workers divide an update's rollouts.

    The numbers must have been checked one by one.

    Raises:
        FieldError: a size does not divide the other.
    """
    batch, actor = config.data.train_batch_size, config.actor_rollout_ref.actor
    mini, fetched = actor.ppo_mini_batch_size, config.data.gen_batch_size
    if batch % mini:  # verl would fill the last update with empty rows
        raise FieldError(f"{ACTOR}.ppo_mini_batch_size", mini, f"a divisor of data.train_batch_size, {batch}")
    if fetched is not None and batch % fetched:
        raise FieldError("data.gen_batch_size", fetched, f"null, or a divisor of data.train_batch_size, {batch}")
    sequence, rollouts = actor.ulysses_sequence_parallel_size, config.actor_rollout_ref.rollout.n
    ranks = config.trainer.nnodes * config.trainer.n_gpus_per_node // sequence
    if mini * rollouts % ranks:
        allowed = f"a number that, times rollout.n={rollouts}, is a multiple of the {ranks} training workers"
        raise FieldError(f"{ACTOR}.ppo_mini_batch_size", mini, allowed)
    _check_filter(config)


def _check_filter(config: DictConfig) -> None:
    """Checks what verl's group filtering and its refill of failed groups need."""
    groups, field = config.algorithm.filter_groups, "algorithm.filter_groups"
    filters = check_bool(f"{field}.enable", groups.enable)
    refill = "trainer.v1.sampler.sync_refill_failed_groups"
    fetched = config.data.gen_batch_size
    if (check_bool(refill, value_of(config, refill)) or filters) and fetched not in (None, 1):
        raise FieldError("data.gen_batch_size", fetched, f"null or 1, with {field}.enable or {refill}")
    if not filters:
        return
    check_text(f"{field}.metric", groups.metric, "reward, or a name in the rewards' extra information")
    check_positive_int(f"{field}.max_inflight_gen_batches", groups.max_inflight_gen_batches)
    if groups.max_num_gen_batches != 0:
        allowed = f"0: verl ignores it; {field}.max_inflight_gen_batches bounds how many prompts run at a time"
        raise FieldError(f"{field}.max_num_gen_batches", groups.max_num_gen_batches, allowed)
    model = config.reward.reward_model
    if model.enable and not model.enable_resource_pool:
        allowed = (
            f"false, or reward.reward_model.enable_resource_pool=true: {field} needs rewards before the step's end"
        )
        raise FieldError("reward.reward_model.enable", model.enable, allowed)
