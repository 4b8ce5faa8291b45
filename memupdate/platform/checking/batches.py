"""Checks of how a step's rollouts are divided over updates and training workers."""

from __future__ import annotations

from omegaconf import DictConfig

from memupdate.errors import FieldError
from memupdate.platform.checking.fields import ACTOR


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
