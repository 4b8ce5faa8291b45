"""The sections of a run's settings, with their defaults.

A latent method defines its own ``model`` section and may extend ``run.grpo`` (see :mod:`memgen.methods`). All other
sections are the same for every method.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from memgen.data.formats import FORMATS


@dataclass
class ModelSettings:
    """The model section. A method adds its own keys in a subclass.

    The model is either built around ``reasoner`` or loaded from ``load_model_path``.

    Attributes:
        method: name of the method in :data:`memgen.methods.METHODS`.
        reasoner: Hugging Face folder or name of the base model, a causal LM. It is not used if ``load_model_path`` is
            set.
        load_model_path: folder of a checkpoint of the method to start from. The other keys must match the checkpoint.
    """

    method: str
    reasoner: str | None = None
    load_model_path: str | None = None

    @property
    def variant(self) -> str:
        """Name of the evaluated variant. The results are written to the folder ``evaluation-VARIANT``."""
        return self.method


@dataclass
class Dataset:
    """The dataset section: examples in local files.

    Attributes:
        format: format of a line, a name in :data:`memgen.data.formats.FORMATS`: ``instruction``, ``conversation`` or
            ``gsm8k``.
        train_file: file of the training examples.
        test_file: file of the examples for ``evaluate``; null if it is not needed.
        valid_ratio: share of the training examples that is held out for validation, in [0, 1). 0 holds out none.
            Supervised training validates on whole batches only.
        max_length: maximum number of ids in a row of supervised training: an assistant turn together with its prompt
            and its latents. A longer row is an error.
        limit: maximum number of examples read from each file; null reads all.
        reward: name of the reward in :data:`memgen.tasks.REWARDS`; null uses the reward of the format.
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
        """Name of the reward: ``reward`` if it is set, else the reward of the format."""
        return self.reward or FORMATS.load(self.format).reward


@dataclass(kw_only=True)
class Training:
    """The settings that both training methods have. The defaults are the published values.

    Attributes:
        epochs: passes over the training data.
        weight_decay: weight decay of AdamW.
        clip_grad: norm to which gradients are clipped.
        gradient_checkpointing: whether layers are recomputed in the backward pass.
        save_steps: steps between checkpoints.
        valid_steps: steps between validations on the held-out data, if there are any. -1 validates at the end only, and
            in reinforcement learning also before the first step.
    """

    epochs: int = 1
    weight_decay: float = 0.01
    clip_grad: float = 1.0
    gradient_checkpointing: bool = False
    save_steps: int = 100
    valid_steps: int = -1


@dataclass(kw_only=True)
class Sft(Training):
    """The settings of supervised training. The defaults are the published values.

    Attributes:
        batch_size: turns per optimiser step, over all ranks.
        micro_batch_size: turns per forward pass and rank.
        lr: peak learning rate of AdamW, after the warm-up; 0 trains nothing.
        lr_scheduler_type: ``cosine`` or ``constant``.
        warmup_ratio: share of the steps in which the learning rate rises, in [0, 1].
    """

    epochs: int = 2
    batch_size: int = 4
    micro_batch_size: int = 4
    lr: float = 1e-5
    lr_scheduler_type: str = "cosine"
    warmup_ratio: float = 0.1


@dataclass(kw_only=True)
class Grpo(Training):
    """The settings of reinforcement learning. The defaults are the published values.

    A method adds its own keys in a subclass. A pass over the questions leaves out those that do not fill a whole batch.

    Attributes:
        lr: constant learning rate of AdamW for each stage of the method; 0 trains nothing.
        batch_size: questions per step, over all ranks.
        updates: optimiser updates per step. Each update uses all answers of the step.
        group_size: answers per question. Their mean reward is the baseline.
        micro_batch_size: answers per forward pass and rank.
        kl_beta: weight of the KL divergence from the initial model; 0 keeps no copy of that model.
        clip: ε of PPO's clipping. Probability ratios are clipped to 1 ± ε. In the first update of a step they are 1.
        loss_type: how the loss is averaged. ``grpo``: the mean over the actions of each answer, then over the answers.
            ``bnpo``: the mean over all actions of the batch. ``dr_grpo``: the sum over the actions of each answer,
            divided by a constant; advantages are not divided by the standard deviation of the group.
        max_new_tokens: maximum number of text ids in an answer; latents do not count.
        temperature: sampling temperature of the answers. The loss uses the same temperature. MemGen stores it in the
            config of the trained model.
        trajectory_deadline_s: seconds for one answer and its reward. An answer that takes longer fails.
        step_deadline_s: seconds for one step. A step that takes longer ends the run.
        max_failed_rollouts: largest share of the answers of a step that may fail. More of them end the run.
    """

    lr: dict[str, float]
    batch_size: int = 8
    updates: int = 1
    group_size: int = 8
    micro_batch_size: int = 8
    kl_beta: float = 0.0
    clip: float = 0.2
    loss_type: str = "grpo"
    max_new_tokens: int = 512
    temperature: float = 1.0
    trajectory_deadline_s: float = 1800.0
    step_deadline_s: float = 7200.0
    max_failed_rollouts: float = 0.05


@dataclass
class Generation:
    """The settings of generation, for ``evaluate`` and ``generate``.

    Attributes:
        max_new_tokens: maximum number of text ids in an answer; latents do not count.
        temperature, top_k, top_p: see :class:`memgen.base.sampling.SamplingSettings`.
        batch_size: number of answers that are generated together.
        state: path of a safetensors file with the model's state between turns, for methods that keep state. It is read
            before the first answer. ``generate`` also writes it after the last answer.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    batch_size: int = 8
    state: str | None = None


@dataclass
class Run:
    """The run section.

    Attributes:
        stage: training stage of the method. It determines which components are trained; everything else is frozen.
        grpo: the settings of reinforcement learning.
        mode: what the run does: ``train``, ``evaluate`` or ``generate``.
        method: training method, ``sft`` or ``grpo``.
        output_dir: folder of the run. A stopped run continues when it is started again with the same settings.
        seed: random seed of initial weights, held-out examples, data order, dropout and sampling.
        device: ``cpu`` or ``cuda``.
        dtype: ``fp32`` or ``bf16``.
        ranks: number of training processes. FSDP2 shards the model over them.
        threads: CPU threads per process.
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
    """All settings of a run. :func:`memgen.settings.new_settings` returns them with the defaults of a method."""

    model: ModelSettings
    dataset: Dataset
    run: Run


def as_dict(settings: Settings) -> dict[str, Any]:
    """Returns the settings as nested dictionaries that can be written as JSON."""
    return dataclasses.asdict(settings)
