"""What MemGen is told: its ``model`` section, its part of ``run.grpo``, and which settings go together."""

from __future__ import annotations

from dataclasses import dataclass, field

from memgen.sections import Grpo, ModelSettings, Run
from memupdate.checks import check_number_from_zero
from memupdate.errors import FieldError

# Stage -> the components that it trains.
STAGES = {"weaver": ("weaver",), "trigger": ("trigger",), "both": ("weaver", "trigger")}


@dataclass
class Lora:
    """An adapter's shape: see :class:`memgen.base.adapters.LoraSettings`."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.1
    target_modules: list[str] = field(default_factory=lambda: ["q_proj", "v_proj"])


@dataclass
class MemGenSettings(ModelSettings):
    """The ``model`` section of MemGen.

    Attributes:
        weaver: ``paper`` or ``shared``.
        trigger: ``paper`` or ``head``.
        weaver_base, trigger_base: models of their own for a ``paper`` weaver and trigger; null shares the reasoner's.
        mode: ``learned``, ``always`` or ``never`` (vanilla). It is set anew where a checkpoint is read.
        The rest: see :func:`memgen.weaver.build_memgen`.
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
        """The mode: ``evaluation-always`` and ``evaluation-never`` stand side by side."""
        return self.mode


@dataclass
class MemGenGrpo(Grpo):
    """The ``run.grpo`` section of MemGen.

    Attributes:
        invocation_penalty: λ of the trigger's objective: a reward loses λ for a rate of insertions that is 1 above that
            of the group's good answers. 0 takes nothing. It is no part of the weaver's stage.
    """

    invocation_penalty: float = 0.1


def check(model: MemGenSettings, run: Run) -> None:
    """Checks what the settings say together.

    Raises:
        FieldError: the first value that is not allowed.
    """
    assert isinstance(run.grpo, MemGenGrpo)
    check_number_from_zero("run.grpo.invocation_penalty", run.grpo.invocation_penalty)
    if run.mode != "train":
        return
    if model.mode == "never":
        raise FieldError("model.mode", model.mode, "always or learned in training: never has no latents to train")
    if run.method == "sft" and run.stage != "weaver":
        raise FieldError("run.stage", run.stage, "weaver, or run.method=grpo: nothing shows a trigger what to decide")
    if run.stage != "weaver" and model.mode != "learned":
        raise FieldError("model.mode", model.mode, "learned where the trigger is trained: it decides nothing otherwise")
