"""The sections of a run's settings, with their defaults.

A latent method brings its own ``model`` section, and may extend ``run.grpo`` (see :mod:`memgen.methods`). The rest is
the same for all methods.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from memgen.data.formats import FORMATS


@dataclass
class ModelSettings:
    """The model: made around ``reasoner``, or read from ``load_model_path``. A method adds its own keys in a subclass.

    Attributes:
        method: a name of :data:`memgen.methods.METHODS`.
        reasoner: Hugging Face folder or name of the causal LM that the method works on. No base model is read where
            ``load_model_path`` is given.
        load_model_path: a checkpoint of the method to go on from. The other keys must then say what it is.
    """

    method: str
    reasoner: str | None = None
    load_model_path: str | None = None

    @property
    def variant(self) -> str:
        """Names what is evaluated: the results are in ``evaluation-VARIANT``."""
        return self.method


@dataclass
class Dataset:
    """The examples, in local files.

    Attributes:
        format: what a line holds, a name of :data:`memgen.data.formats.FORMATS`: ``instruction``, ``conversation`` or
            ``gsm8k``.
        train_file: what is trained on.
        test_file: what ``evaluate`` runs over; null where it is not needed.
        valid_ratio: share of the training examples that is held out and measured (in whole batches), 0 for none.
        max_length: the most ids that one turn may have, latents included; a longer one is an error.
        limit: examples read of each file at most; null for all.
        reward: what an answer is worth, a name of :data:`memgen.tasks.REWARDS`; null is the format's own.
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
        return self.reward or FORMATS.load(self.format).reward


@dataclass
class Sft:
    """Supervised training: the published defaults.

    Attributes:
        epochs: passes over the training turns.
        batch_size: turns of an optimiser step, of all ranks together.
        micro_batch_size: turns of a forward pass, per rank.
        lr: peak learning rate of AdamW, after the warm-up.
        lr_scheduler_type: ``cosine`` or ``constant``.
        warmup_ratio: share of the steps in which the rate rises.
        weight_decay: AdamW's.
        clip_grad: norm at which gradients are clipped.
        gradient_checkpointing: recompute layers in the backward pass.
        save_steps: optimiser steps between checkpoints.
        valid_steps: optimiser steps between measurements on the held-out turns; -1 measures at the end only.
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
class Grpo:
    """Reinforcement learning: the published defaults. A method adds its own keys in a subclass.

    Attributes:
        lr: AdamW's constant learning rate, by stage of the method.
        epochs: passes over the training questions; those that fill no batch are left for the next pass.
        batch_size: questions of a step, of all ranks together.
        updates: of a step, each on all of its answers.
        group_size: answers to each question, whose mean reward is the baseline.
        micro_batch_size: answers of a forward pass, per rank.
        kl_beta: weight of the divergence from the model that training starts from; 0 holds no copy of it.
        clip: ratios count up to 1 ± this; they are 1 in a step's first update.
        loss_type: ``grpo``: mean over each answer's actions, then over answers; ``bnpo``: mean over all actions of the
            batch; ``dr_grpo``: sums over each answer's actions by a constant, and advantages not divided by the group's
            standard deviation.
        max_new_tokens: text ids of an answer; latents come on top.
        temperature: of the answers, and so of the trained policy; the model's own from then on.
        weight_decay: AdamW's.
        clip_grad: norm at which gradients are clipped.
        gradient_checkpointing: recompute layers in the backward pass.
        save_steps: steps between checkpoints.
        valid_steps: steps between validations on the held-out questions, if there are any; -1 validates before the
            first step and after the last alone.
    """

    lr: dict[str, float]
    epochs: int = 1
    batch_size: int = 8
    updates: int = 1
    group_size: int = 8
    micro_batch_size: int = 8
    kl_beta: float = 0.0
    clip: float = 0.2
    loss_type: str = "grpo"
    max_new_tokens: int = 512
    temperature: float = 1.0
    weight_decay: float = 0.01
    clip_grad: float = 1.0
    gradient_checkpointing: bool = False
    save_steps: int = 100
    valid_steps: int = -1


@dataclass
class Generation:
    """How ``evaluate`` and ``generate`` answer.

    Attributes:
        max_new_tokens: text ids of an answer; latents come on top.
        temperature, top_k, top_p: see :class:`memgen.base.sampling.SamplingSettings`.
        batch_size: answers that are generated together.
        state: a safetensors file of what the model keeps between turns, for methods that keep any. It is read before
            the first answer, and ``generate`` writes it after the last.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    batch_size: int = 8
    state: str | None = None


@dataclass
class Run:
    """What is done.

    Attributes:
        stage: the stage of the method that is trained, which says what is trainable; everything else is frozen.
        grpo: the settings of reinforcement learning.
        mode: ``train``, ``evaluate`` or ``generate``.
        method: how it is trained, ``sft`` or ``grpo``.
        output_dir: folder of the run. A run that was stopped goes on when it is started again.
        seed: of initial weights, held-out examples, data order, dropout and sampling.
        device: ``cpu`` or ``cuda``.
        dtype: ``fp32`` or ``bf16``.
        ranks: processes of the training, sharded by FSDP2.
        threads: CPU threads of each.
        sft: the settings of supervised training.
        generation: the settings of generation.
    """

    stage: str
    grpo: Grpo
    mode: str = "train"
    method: str = "sft"
    output_dir: str | None = None
    seed: int = 42
    device: str = "cpu"
    dtype: str = "fp32"
    ranks: int = 1
    threads: int = 2
    sft: Sft = field(default_factory=Sft)
    generation: Generation = field(default_factory=Generation)


@dataclass
class Settings:
    """Everything a run is told. :func:`memgen.settings.new_settings` makes one with the defaults of a method."""

    model: ModelSettings
    dataset: Dataset
    run: Run


def as_dict(settings: Settings) -> dict[str, Any]:
    """Returns the settings as a JSON object."""
    return dataclasses.asdict(settings)
