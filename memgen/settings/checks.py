"""Checks settings, one by one and in combination."""

from __future__ import annotations

from omegaconf import OmegaConf

from memgen.data.formats import FORMATS
from memgen.methods import method_of
from memgen.sections import Run, Settings
from memgen.tasks import REWARDS
from memupdate.checks import (
    check_at_least,
    check_choice,
    check_folder,
    check_int_between,
    check_never_or_every,
    check_number_from_zero,
    check_positive_int,
    check_positive_number,
    check_share,
)
from memupdate.errors import FieldError

CHOICES = {
    "run.mode": ("train", "evaluate", "generate"),
    "run.method": ("sft", "grpo"),
    "run.device": ("cpu", "cuda"),
    "run.dtype": ("fp32", "bf16"),
    "run.sft.lr_scheduler_type": ("cosine", "constant"),
    "run.grpo.loss_type": ("grpo", "bnpo", "dr_grpo"),
}
# Required settings without a default, for each run.mode.
NEEDED = {
    "train": ("dataset.train_file", "run.output_dir"),
    "evaluate": ("dataset.test_file", "run.output_dir"),
    "generate": (),
}
AT_LEAST_ONE = (
    *("run.ranks", "run.threads", "run.sft.epochs", "run.sft.batch_size", "run.sft.micro_batch_size"),
    *("run.sft.save_steps", "run.generation.batch_size", "run.generation.max_new_tokens", "dataset.max_length"),
    *("run.grpo.epochs", "run.grpo.batch_size", "run.grpo.micro_batch_size", "run.grpo.max_new_tokens"),
    *("run.grpo.save_steps", "run.grpo.updates"),
)
ABOVE_ZERO = ("run.sft.clip_grad", "run.grpo.clip_grad", "run.grpo.clip", "run.grpo.temperature")
# A learning rate of 0 is allowed: a control run needs it.
FROM_ZERO = (
    *("run.sft.lr", "run.sft.weight_decay", "run.grpo.weight_decay", "run.grpo.kl_beta"),
    "run.generation.temperature",
)
NEVER_OR_EVERY = ("run.sft.valid_steps", "run.grpo.valid_steps")
LARGEST_SEED = 2**32 - 1  # of numpy


def check(settings: Settings) -> None:
    """Checks every value and the combinations of values.

    Raises:
        FieldError: a value is not allowed. The error reports the first such value.
    """
    method = method_of(settings.model.method)
    _check_values(settings)
    check_choice("run.stage", settings.run.stage, method.stages)
    _check_needed(settings)
    if settings.run.generation.state is not None and not method.keeps_state:
        allowed = f"null: {settings.model.method} keeps nothing between turns"
        raise FieldError("run.generation.state", settings.run.generation.state, allowed)
    if settings.run.mode == "train" and settings.run.method == "grpo":
        _check_groups(settings.run)
    method.check(settings.model, settings.run)


def _check_values(settings: Settings) -> None:
    values = OmegaConf.structured(settings)
    for key, allowed in CHOICES.items():
        check_choice(key, OmegaConf.select(values, key), allowed)
    for key in AT_LEAST_ONE:
        check_positive_int(key, OmegaConf.select(values, key))
    rates = [f"run.grpo.lr.{stage}" for stage in settings.run.grpo.lr]
    for key in ABOVE_ZERO:
        check_positive_number(key, OmegaConf.select(values, key))
    for key in (*FROM_ZERO, *rates):
        check_number_from_zero(key, OmegaConf.select(values, key))
    for key in NEVER_OR_EVERY:
        check_never_or_every(key, OmegaConf.select(values, key))
    run, dataset = settings.run, settings.dataset
    check_int_between("run.seed", run.seed, 0, LARGEST_SEED)
    check_at_least("run.generation.top_k", run.generation.top_k, 0)
    check_share("run.generation.top_p", run.generation.top_p)
    FORMATS.check(dataset.format)
    if dataset.reward is not None:
        REWARDS.check(dataset.reward)
    if not 0 <= dataset.valid_ratio < 1:
        raise FieldError("dataset.valid_ratio", dataset.valid_ratio, "a number in [0, 1)")
    if dataset.limit is not None:
        check_at_least("dataset.limit", dataset.limit, 1)
    if not 0 <= run.sft.warmup_ratio <= 1:
        raise FieldError("run.sft.warmup_ratio", run.sft.warmup_ratio, "a number in [0, 1]")
    if run.sft.batch_size % run.ranks:
        raise FieldError("run.sft.batch_size", run.sft.batch_size, f"a multiple of run.ranks, {run.ranks}")


def _check_needed(settings: Settings) -> None:
    values, mode = OmegaConf.structured(settings), settings.run.mode
    base = ("model.reasoner",) if settings.model.load_model_path is None else ()
    for key in (*base, *NEEDED[mode]):
        if OmegaConf.select(values, key) is None:
            raise FieldError(key, None, f"a value, which {mode} needs: --options {key} VALUE")
    check_folder("run.output_dir", settings.run.output_dir or ".")


def _check_groups(run: Run) -> None:
    """Checks the group size, the batch size and the limits of reinforcement learning."""
    grpo = run.grpo
    check_positive_number("run.grpo.trajectory_deadline_s", grpo.trajectory_deadline_s)
    if not grpo.trajectory_deadline_s <= grpo.step_deadline_s < float("inf"):
        allowed = f"a number from run.grpo.trajectory_deadline_s, {grpo.trajectory_deadline_s:g}"
        raise FieldError("run.grpo.step_deadline_s", grpo.step_deadline_s, allowed)
    if not 0 <= grpo.max_failed_rollouts < 1:
        raise FieldError("run.grpo.max_failed_rollouts", grpo.max_failed_rollouts, "a share from 0 to less than 1")
    if grpo.group_size < 2:
        raise FieldError("run.grpo.group_size", grpo.group_size, "2 or more: a group of one has no baseline")
    if grpo.batch_size * grpo.group_size % run.ranks:
        raise FieldError(
            "run.grpo.batch_size",
            grpo.batch_size,
            f"with group_size {grpo.group_size}, a multiple of {run.ranks} ranks",
        )
