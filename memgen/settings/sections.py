"""What a run is told: sections of settings and their defaults."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

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


def as_dict(settings: Settings) -> dict[str, Any]:
    """The settings as a JSON object."""
    return dataclasses.asdict(settings)
