"""Which settings are allowed, one by one and together."""

from __future__ import annotations

from omegaconf import OmegaConf

from memgen.settings.sections import DEVICES, DTYPES, FORMATS, LOSS_TYPES, METHODS, MODES, STAGES, Settings
from memgen.tasks import REWARDS
from memupdate.errors import FieldError

CHOICES = {
    "run.mode": MODES,
    "run.stage": STAGES,
    "run.method": METHODS,
    "run.device": DEVICES,
    "run.dtype": DTYPES,
    "run.sft.lr_scheduler_type": ("cosine", "constant"),
    "run.grpo.loss_type": LOSS_TYPES,
    "dataset.format": FORMATS,
}
# What has no default, by run.mode.
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
ABOVE_ZERO = (
    *("run.sft.lr", "run.grpo.lr.weaver", "run.grpo.lr.trigger", "run.grpo.lr.both"),
    *("run.grpo.clip", "run.grpo.temperature"),
)
NOT_NEGATIVE = ("run.grpo.kl_beta", "run.grpo.invocation_penalty")


def check(settings: Settings) -> None:
    """Checks single values and what they say together.

    Raises:
        FieldError: the first that is not allowed.
    """
    values = OmegaConf.structured(settings)
    for key, allowed in CHOICES.items():
        value = OmegaConf.select(values, key)
        if value not in allowed:
            raise FieldError(key, value, ", ".join(allowed))
    for key in AT_LEAST_ONE:
        value = OmegaConf.select(values, key)
        if value < 1:
            raise FieldError(key, value, "an integer of at least 1")
    run, dataset = settings.run, settings.dataset
    if not 0 <= dataset.valid_ratio < 1:
        raise FieldError("dataset.valid_ratio", dataset.valid_ratio, "a number in [0, 1)")
    if dataset.limit is not None and dataset.limit < 1:
        raise FieldError("dataset.limit", dataset.limit, "an integer of at least 1, or null")
    if dataset.reward is not None and dataset.reward not in REWARDS:
        raise FieldError("dataset.reward", dataset.reward, f"{', '.join(REWARDS)}, or null: the format's own")
    for key in (*ABOVE_ZERO, *NOT_NEGATIVE):
        value = OmegaConf.select(values, key)
        if not (value > 0 or (value == 0 and key in NOT_NEGATIVE)):
            raise FieldError(key, value, "a number of at least 0" if key in NOT_NEGATIVE else "a number above 0")
    if not 0 <= run.sft.warmup_ratio <= 1:
        raise FieldError("run.sft.warmup_ratio", run.sft.warmup_ratio, "a number in [0, 1]")
    if run.sft.batch_size % run.ranks:
        raise FieldError("run.sft.batch_size", run.sft.batch_size, f"a multiple of run.ranks, {run.ranks}")
    needed = NEEDED[run.mode]
    if settings.model.load_model_path is None:
        needed = ("model.reasoner", *needed)
    for key in needed:
        if OmegaConf.select(values, key) is None:
            raise FieldError(key, None, f"a value, which {run.mode} needs: --options {key} VALUE")
    if run.mode == "train":
        _check_training(settings)


def _check_training(settings: Settings) -> None:
    run, mode = settings.run, settings.model.mode
    if mode == "never":
        raise FieldError("model.mode", mode, "always or learned in training: never has no latents to train")
    if run.method == "sft" and run.stage != "weaver":
        raise FieldError("run.stage", run.stage, "weaver, or run.method=grpo: nothing shows a trigger what to decide")
    if run.stage != "weaver" and mode != "learned":
        raise FieldError("model.mode", mode, "learned where the trigger is trained: it decides nothing otherwise")
    if run.method == "grpo":
        grpo = run.grpo
        if grpo.group_size < 2:
            raise FieldError("run.grpo.group_size", grpo.group_size, "2 or more: a group of one has no baseline")
        if grpo.batch_size * grpo.group_size % run.ranks:
            raise FieldError(
                "run.grpo.batch_size",
                grpo.batch_size,
                f"with group_size {grpo.group_size}, a multiple of {run.ranks} ranks",
            )
