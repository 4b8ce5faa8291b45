"""Checks of single numbers in verl's sections: counts, sampling, the optimiser, and the schedule."""

from __future__ import annotations

from omegaconf import DictConfig

from memupdate.checks import (
    check_bool,
    check_finite,
    check_integer,
    check_never_or_every,
    check_number_between,
    check_number_from_zero,
    check_positive_int,
    check_positive_number,
    check_share,
)
from memupdate.errors import FieldError
from memupdate.platform.checking.fields import (
    ACTOR,
    REF,
    ROLLOUT,
    check_each,
    check_each_given,
    value_of,
)

COUNTS = (
    *("data.train_batch_size", "data.max_prompt_length", "data.max_response_length"),
    *(f"{ACTOR}.ppo_mini_batch_size", f"{ACTOR}.ppo_epochs", f"{ACTOR}.ppo_max_token_len_per_gpu"),
    *(f"{ROLLOUT}.n", f"{ROLLOUT}.val_kwargs.n", f"{ROLLOUT}.max_num_seqs", f"{ROLLOUT}.max_num_batched_tokens"),
    *(f"{ROLLOUT}.agent.num_workers", "reward.num_workers", "trainer.total_epochs"),
)
# These may be null.
COUNTS_IF_GIVEN = (
    *("data.gen_batch_size", "data.val_batch_size", "trainer.total_training_steps", f"{ROLLOUT}.max_model_len"),
    *(f"{ACTOR}.ppo_micro_batch_size_per_gpu", f"{ACTOR}.ppo_micro_batch_size"),
    *(f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu", f"{REF}.log_prob_micro_batch_size_per_gpu"),
    *(f"{ROLLOUT}.multi_turn.max_assistant_turns", f"{ROLLOUT}.multi_turn.max_user_turns"),
    *(f"{ROLLOUT}.multi_turn.max_parallel_calls", f"{ROLLOUT}.multi_turn.max_tool_response_length"),
)
FROM_ZERO = (
    *(f"{ACTOR}.optim.lr", f"{ACTOR}.optim.weight_decay", f"{ACTOR}.kl_loss_coef"),
    *(f"{ACTOR}.clip_ratio", f"{ACTOR}.clip_ratio_low", f"{ACTOR}.clip_ratio_high"),
)
ABOVE_ZERO = (f"{ACTOR}.grad_clip", f"{ROLLOUT}.temperature")
UP_TO_ONE = (f"{ROLLOUT}.gpu_memory_utilization", f"{ROLLOUT}.top_p", f"{ROLLOUT}.val_kwargs.top_p")
SAMPLING = (ROLLOUT, f"{ROLLOUT}.val_kwargs")


def check_numbers(config: DictConfig) -> None:
    """Checks each number by itself.

    Raises:
        FieldError: a number is not allowed.
    """
    check_each(config, COUNTS, check_positive_int)
    check_each_given(config, COUNTS_IF_GIVEN, check_positive_int)
    check_each(config, FROM_ZERO, check_number_from_zero)
    check_each(config, ABOVE_ZERO, check_positive_number)
    check_each(config, UP_TO_ONE, check_share)
    check_each(config, ("trainer.save_freq", "trainer.test_freq"), check_never_or_every)
    check_each(config, ("data.seed",), check_integer)
    check_each(config, (f"{ACTOR}.entropy_coeff",), check_finite)
    check_each(config, (f"{ROLLOUT}.val_kwargs.temperature",), check_number_from_zero)
    check_each(config, (f"{ROLLOUT}.val_kwargs.do_sample", "trainer.val_before_train"), check_bool)
    for name in (f"{ACTOR}.optim.lr_warmup_steps_ratio", f"{ACTOR}.optim.min_lr_ratio"):
        if value_of(config, name) is not None:
            check_number_between(name, value_of(config, name), 0, 1)
    for section in SAMPLING:
        _check_top_k(f"{section}.top_k", value_of(config, f"{section}.top_k"))
    _check_lengths(config)


def _check_top_k(field: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or (value < 1 and value != -1):
        raise FieldError(field, value, "-1 for all ids, or a whole number from 1")


def _check_lengths(config: DictConfig) -> None:
    """Checks that a prompt with its response fits the rollout engine, and a training worker with dynamic batches."""
    longest = config.data.max_prompt_length + config.data.max_response_length
    parts = "data.max_prompt_length + data.max_response_length"
    limit = config.actor_rollout_ref.rollout.max_model_len
    if limit is not None and limit < longest:
        raise FieldError(f"{ROLLOUT}.max_model_len", limit, f"null, or {longest:,} or more: {parts}")
    for section, switch, tokens in (
        (ACTOR, "use_dynamic_bsz", "ppo_max_token_len_per_gpu"),
        (ROLLOUT, "log_prob_use_dynamic_bsz", "log_prob_max_token_len_per_gpu"),
        (REF, "log_prob_use_dynamic_bsz", "log_prob_max_token_len_per_gpu"),
    ):
        if value_of(config, f"{section}.{switch}"):
            found = check_positive_int(f"{section}.{tokens}", value_of(config, f"{section}.{tokens}"))
            parallel = value_of(config, f"{ACTOR}.ulysses_sequence_parallel_size")
            if found * (parallel if isinstance(parallel, int) else 1) < longest:
                raise FieldError(f"{section}.{tokens}", found, f"{longest:,} or more: {parts}")
