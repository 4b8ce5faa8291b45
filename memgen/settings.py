"""The settings of a run: a YAML file of ``configs/latent_memory/`` and overrides. An unknown key is an error."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memgen.tasks import REWARDS
from memupdate.errors import DataError, FieldError

MODES = ("train", "evaluate", "generate")
STAGES = ("weaver", "trigger", "both")
METHODS = ("sft", "grpo")
LOSS_TYPES = ("grpo", "bnpo", "dr_grpo")
FORMATS = ("instruction", "conversation", "gsm8k")
DEVICES = ("cpu", "cuda")
DTYPES = ("fp32", "bf16")
# What an answer is worth where dataset.reward does not say.
REWARD_OF_FORMAT = {"instruction": "exact", "conversation": "exact", "gsm8k": "math"}


@dataclass
class Lora:
    """An adapter's shape: see :class:`memgen.model.LoraSettings`."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.1
    target_modules: list[str] = field(default_factory=lambda: ["q_proj", "v_proj"])


@dataclass
class Model:
    """The model: made around ``reasoner``, or read from ``load_model_path``.

    Attributes:
        reasoner: Hugging Face folder or name of the causal LM. Neither it nor the other bases are read where
            ``load_model_path`` is given.
        load_model_path: a MemGen checkpoint to go on from. The other keys must then say what it is, and ``mode`` is
            set anew.
        weaver_base, trigger_base: models of their own for a ``paper`` weaver and trigger; null shares the reasoner's.
        mode: ``learned``, ``always`` or ``never`` (vanilla).
        The rest: see :func:`memgen.model.build_memgen`.
    """

    reasoner: str | None = None
    load_model_path: str | None = None
    weaver: str = "shared"
    trigger: str = "head"
    weaver_base: str | None = None
    trigger_base: str | None = None
    mode: str = "always"
    prompt_latents: int = 8
    inference_latents: int = 8
    max_prompt_aug_num: int = 1
    max_inference_aug_num: int = 5
    delimiters: list[str] = field(default_factory=lambda: [",", ".", "\n"])
    exempt_numbers: bool = False
    weaver_lora: Lora = field(default_factory=Lora)
    trigger_lora: Lora = field(default_factory=Lora)


@dataclass
class Dataset:
    """The examples, in local files.

    Attributes:
        format: one JSON object a line: ``instruction`` (``prompt``, ``completion``), ``conversation`` (``messages``) or
            ``gsm8k`` (``question``, ``answer``).
        train_file: what is trained on.
        test_file: what ``evaluate`` runs over; null where it is not needed.
        valid_ratio: share of the training examples that is held out and measured (in whole batches), 0 for none.
        max_length: items of a stream at most, latents included; a longer one is an error.
        limit: examples read of each file at most; null for all.
        reward: what an answer is worth, a name of :mod:`memgen.tasks`; null is the format's own: ``math`` for gsm8k,
            ``exact`` for the others.
    """

    format: str = "instruction"
    train_file: str | None = None
    test_file: str | None = None
    valid_ratio: float = 0.1
    max_length: int = 1024
    limit: int | None = None
    reward: str | None = None

    @property
    def reward_name(self) -> str:
        """The reward that counts: the one given, or the format's own."""
        return self.reward or REWARD_OF_FORMAT[self.format]


@dataclass
class Sft:
    """Supervised training: the published defaults.

    Attributes:
        epochs: passes over the training streams.
        batch_size: streams of an optimiser step, of all ranks together.
        micro_batch_size: streams of a forward pass, per rank.
        lr: peak learning rate of AdamW, after the warm-up.
        lr_scheduler_type: ``cosine`` or ``constant``.
        warmup_ratio: share of the steps in which the rate rises.
        weight_decay: AdamW's.
        clip_grad: norm at which gradients are clipped.
        gradient_checkpointing: recompute layers in the backward pass.
        save_steps: optimiser steps between checkpoints.
        valid_steps: optimiser steps between measurements on the held-out streams; -1 measures at the end only.
    """

    epochs: int = 2
    batch_size: int = 4
    micro_batch_size: int = 4
    lr: float = 1e-5
    lr_scheduler_type: str = "cosine"
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    clip_grad: float = 1.0
    gradient_checkpointing: bool = False
    save_steps: int = 100
    valid_steps: int = -1


@dataclass
class StageRates:
    """A learning rate for each stage of reinforcement learning."""

    weaver: float = 1e-5
    trigger: float = 1e-5
    both: float = 1e-5


@dataclass
class Grpo:
    """Reinforcement learning: the published defaults.

    Attributes:
        epochs: passes over the training questions; those that fill no batch are left for the next pass.
        batch_size: questions of a step, of all ranks together.
        updates: of a step, each on all of its answers.
        group_size: answers to each, whose mean reward is the baseline.
        micro_batch_size: answers of a forward pass, per rank.
        lr: AdamW's constant learning rate, by stage.
        kl_beta: weight of the divergence from the model that training starts from; 0 holds no copy of it.
        clip: ratios count up to 1 ± this; they are 1 in a step's first update.
        loss_type: ``grpo``: mean over each answer's actions, then over answers; ``bnpo``: mean over all actions of the
            batch; ``dr_grpo``: sums over each answer's actions by a constant, and advantages not divided by the group's
            standard deviation.
        invocation_penalty: λ of the trigger's objective: a reward loses λ for a rate of insertions that is 1 above that
            of the group's good answers. 0 for none; no part of the weaver's stage.
        max_new_tokens: text ids of an answer; latents come on top.
        temperature: of the answers, and so of the trained policy; the model's own from then on.
        weight_decay: AdamW's.
        clip_grad: norm at which gradients are clipped.
        gradient_checkpointing: recompute layers in the backward pass.
        save_steps: steps between checkpoints.
        valid_steps: steps between validations on the held-out questions, if there are any; -1 validates before the
            first step and after the last alone.
    """

    epochs: int = 1
    batch_size: int = 8
    updates: int = 1
    group_size: int = 8
    micro_batch_size: int = 8
    lr: StageRates = field(default_factory=StageRates)
    kl_beta: float = 0.0
    clip: float = 0.2
    loss_type: str = "grpo"
    invocation_penalty: float = 0.1
    max_new_tokens: int = 512
    temperature: float = 1.0
    weight_decay: float = 0.01
    clip_grad: float = 1.0
    gradient_checkpointing: bool = False
    save_steps: int = 100
    valid_steps: int = -1


@dataclass
class Generation:
    """How ``evaluate`` and ``generate`` answer: see :class:`memgen.model.SamplingSettings`."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    batch_size: int = 8


@dataclass
class Run:
    """What is done.

    Attributes:
        mode: ``train``, ``evaluate`` or ``generate``.
        stage: the component that is trained, ``weaver``, ``trigger`` or ``both``; everything else is frozen.
        method: ``sft`` (the weaver's alone) or ``grpo``.
        output_dir: folder of the run. A run that was stopped goes on when it is started again.
        seed: of initial weights, held-out examples, data order, dropout and sampling.
        device: ``cpu`` or ``cuda``.
        dtype: ``fp32`` or ``bf16``.
        ranks: processes of the training, sharded by FSDP2.
        threads: CPU threads of each.
    """

    mode: str = "train"
    stage: str = "weaver"
    method: str = "sft"
    output_dir: str | None = None
    seed: int = 42
    device: str = "cpu"
    dtype: str = "fp32"
    ranks: int = 1
    threads: int = 2
    sft: Sft = field(default_factory=Sft)
    grpo: Grpo = field(default_factory=Grpo)
    generation: Generation = field(default_factory=Generation)


@dataclass
class Settings:
    """Everything a run is told."""

    model: Model = field(default_factory=Model)
    dataset: Dataset = field(default_factory=Dataset)
    run: Run = field(default_factory=Run)


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


def read_settings(path: Path, options: Sequence[str] = ()) -> Settings:
    """Reads a file and applies overrides.

    Args:
        path: a YAML file with the sections ``model``, ``dataset`` and ``run``.
        options: words ``k v`` or ``k=v``, mixed as one likes; values are YAML.

    Raises:
        DataError: no such file, or no YAML.
        FieldError: an unknown key, a value of another type or outside what is allowed, or one that is missing.
    """
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"{path}: expected a YAML file of settings: {error}") from error
    if not isinstance(given, dict):
        raise DataError(f"{path}: expected the sections {', '.join(_fields(Settings))}")
    merged = OmegaConf.structured(Settings)
    _merge(merged, given)
    for key, value in parse_options(options):
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        _merge(merged, nested)
    settings: Any = OmegaConf.to_object(merged)
    assert isinstance(settings, Settings)
    check(settings)
    return settings


def parse_options(words: Sequence[str]) -> list[tuple[str, Any]]:
    """Overrides from words: ``k v`` and ``k=v``.

    Raises:
        FieldError: a key without a value, or a value that is no YAML.
    """
    found: list[tuple[str, Any]] = []
    rest = iter(words)
    for word in rest:
        key, equals, text = word.partition("=")
        if not equals:
            following = next(rest, None)
            if following is None:
                raise FieldError("--options", word, "a value after each key: k v or k=v")
            text = following
        try:
            found.append((key, yaml.safe_load(text)))
        except yaml.YAMLError as error:
            raise FieldError(key, text, "a YAML value") from error
    return found


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


def as_dict(settings: Settings) -> dict[str, Any]:
    """The settings as a JSON object."""
    return dataclasses.asdict(settings)


def _merge(config: DictConfig, given: Mapping[str, Any]) -> None:
    for key, value in _leaves(given, "", OmegaConf.structured(Settings)):
        try:
            OmegaConf.update(config, key, value, merge=False)
        except OmegaConfBaseException as error:
            raise FieldError(key, value, f"another type: {str(error).splitlines()[0]}") from error


def _leaves(given: Mapping[str, Any], path: str, schema: DictConfig) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; every key must be the schema's."""
    for name, value in given.items():
        key = f"{path}.{name}" if path else str(name)
        if name not in schema:
            near = difflib.get_close_matches(key, list(_keys(OmegaConf.structured(Settings), "")), n=1)
            hint = f"; near: {near[0]}" if near else ""
            raise FieldError(key, value, f"keys of {path or 'the settings'}: {', '.join(map(str, schema))}{hint}")
        below = schema[name]
        if isinstance(below, DictConfig):
            if not isinstance(value, Mapping):
                raise FieldError(key, value, f"a section with keys of {', '.join(map(str, below))}")
            yield from _leaves(value, key, below)
        else:
            yield key, value


def _keys(schema: DictConfig, path: str) -> Iterator[str]:
    for name in map(str, schema):
        key = f"{path}.{name}" if path else name
        below = schema[name]
        if isinstance(below, DictConfig):
            yield from _keys(below, key)
        else:
            yield key


def _fields(settings: Any) -> list[str]:
    return [one.name for one in dataclasses.fields(settings)]
