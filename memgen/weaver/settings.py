"""The settings of MemGen: its ``model`` section, its part of ``run.grpo``, and the checks of both."""

from __future__ import annotations

from dataclasses import dataclass, field

from memgen.sections import Grpo, ModelSettings, Run
from memupdate.checks import check_number_from_zero
from memupdate.errors import FieldError

# Maps each training stage to the components that it trains.
STAGES = {"weaver": ("weaver",), "trigger": ("trigger",), "both": ("weaver", "trigger")}


@dataclass
class Lora:
    """The shape of an adapter, see :class:`memgen.base.adapters.LoraSettings`."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.1
    target_modules: list[str] = field(default_factory=lambda: ["q_proj", "v_proj"])


@dataclass
class MemGenSettings(ModelSettings):
    """The ``model`` section of MemGen. The attributes not listed here are those of :func:`memgen.weaver.build_memgen`.

    Attributes:
        weaver: ``paper`` or ``shared``.
        trigger: ``paper`` or ``head``.
        weaver_base, trigger_base: Hugging Face folder or name of a separate base model for a ``paper`` weaver or
            trigger; null uses the reasoner's base model.
        mode: ``learned``, ``always`` or ``never`` (the vanilla model). When a checkpoint is loaded, this value replaces
            the mode stored in it.
    """

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

    @property
    def variant(self) -> str:
        """Name of the evaluated variant: the mode. Results are in ``evaluation-always``, ``evaluation-never`` etc."""
        return self.mode


@dataclass
class MemGenGrpo(Grpo):
    """The ``run.grpo`` section of MemGen.

    Attributes:
        invocation_penalty: λ of the trigger's objective, at least 0. An answer's advantage loses λ times the amount by
            which its insertion rate exceeds the mean rate of the group's high-reward answers. 0 means no penalty. The
            stage ``weaver`` does not use it.
    """

    invocation_penalty: float = 0.1


def check(model: MemGenSettings, run: Run) -> None:
    """Checks MemGen's own settings, alone and together with ``run``.

    Raises:
        FieldError: a value is not allowed. The error reports the first such value.
    """
    assert isinstance(run.grpo, MemGenGrpo)
    check_number_from_zero("run.grpo.invocation_penalty", run.grpo.invocation_penalty)
    if run.mode != "train":
        return
    if model.mode == "never":
        raise FieldError("model.mode", model.mode, "always or learned for training: mode never has no latents to train")
    if run.method == "sft" and run.stage != "weaver":
        raise FieldError("run.stage", run.stage, "weaver, or run.method=grpo: SFT has no targets for the trigger")
    if run.stage != "weaver" and model.mode != "learned":
        raise FieldError("model.mode", model.mode, "learned to train the trigger: in other modes it decides nothing")
