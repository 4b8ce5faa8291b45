"""A latent method in one file: a few trained vectors stand before everything that a frozen model reads.

Shapes: B rows, L columns, K vectors, D hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutputWithPast

from memgen.methods import LatentMethod
from memgen.sections import ModelSettings, Run
from memupdate.checks import check_positive_int
from memupdate.errors import FieldError


class SoftPromptConfig(PreTrainedConfig):
    """The base model's config, how many vectors there are, and what is trainable."""

    model_type = "soft_prompt"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}

    text_config: Any = None
    length: int = 4
    trainable: list[str] | tuple[str, ...] = ("prompt",)
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.text_config, dict):
            self.text_config = AutoConfig.for_model(**self.text_config)
        if self.text_config is not None:  # FSDP2 must know whether the base holds its embeddings twice
            self.tie_word_embeddings = bool(self.text_config.tie_word_embeddings)
        super().__post_init__(**kwargs)

    @property
    def vocab_size(self) -> int:
        return int(self.text_config.vocab_size)

    @property
    def max_position_embeddings(self) -> int:
        return int(self.text_config.max_position_embeddings) - self.length


class SoftPromptForCausalLM(PreTrainedModel):
    """Logits of a frozen causal LM whose input begins with the vectors."""

    config_class = SoftPromptConfig
    config: SoftPromptConfig
    base_model_prefix = ""
    _supports_sdpa = True

    def __init__(self, config: SoftPromptConfig, reasoner: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.reasoner = reasoner or AutoModelForCausalLM.from_config(config.text_config)
        self.prompt = nn.Parameter(torch.randn(config.length, int(config.text_config.hidden_size)))
        self.post_init()
        self.reasoner.set_attn_implementation("sdpa")  # which Hugging Face forgets for a model inside another
        self.freeze()

    def freeze(self) -> None:
        self.reasoner.requires_grad_(False)
        self.prompt.requires_grad_("prompt" in self.config.trainable)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        model = super().from_pretrained(*args, **kwargs)
        model.freeze()  # Hugging Face makes every parameter trainable
        return model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        use_cache: bool | None = None,
    ) -> CausalLMOutputWithPast:
        mask_BL = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        prompt_BKD = self.prompt.expand(len(input_ids), -1, -1)
        x_BND = torch.cat([prompt_BKD, self.reasoner.get_input_embeddings()(input_ids)], 1)
        mask_BN = torch.cat([mask_BL.new_ones(prompt_BKD.shape[:2]), mask_BL], 1)
        position_BN = (mask_BN.cumsum(1) - 1).clamp(min=0)
        output = self.reasoner(inputs_embeds=x_BND, attention_mask=mask_BN, position_ids=position_BN, use_cache=False)
        return CausalLMOutputWithPast(logits=output.logits[:, self.config.length :].contiguous())


@dataclass
class SoftPromptSettings(ModelSettings):
    """The ``model`` section: how many vectors there are."""

    length: int = 4


class SoftPrompt(LatentMethod[SoftPromptSettings, SoftPromptConfig, SoftPromptForCausalLM]):
    """Trained by ``run.method=sft``."""

    settings = SoftPromptSettings
    stages: ClassVar[Mapping[str, Sequence[str]]] = {"prompt": ("prompt",)}

    def check(self, model: SoftPromptSettings, run: Run) -> None:
        check_positive_int("model.length", model.length)
        if run.mode == "train" and run.method != "sft":
            raise FieldError(
                "run.method", run.method, "sft: the rollout server asks a model for a cache, which this has not"
            )

    def register(self) -> None:
        AutoConfig.register("soft_prompt", SoftPromptConfig, exist_ok=True)
        AutoModelForCausalLM.register(SoftPromptConfig, SoftPromptForCausalLM, exist_ok=True)

    def build(
        self, settings: SoftPromptSettings, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
    ) -> SoftPromptForCausalLM:
        return SoftPromptForCausalLM(SoftPromptConfig(text_config=base.config, length=settings.length), base)

    def read(
        self, settings: SoftPromptSettings, folder: Path, tokenizer: PreTrainedTokenizerBase
    ) -> SoftPromptForCausalLM:
        found = self.read_config(folder).length
        if settings.length != found:
            raise FieldError("model.length", settings.length, f"{found}, as {folder} has it")
        return SoftPromptForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def read_config(self, folder: Path) -> SoftPromptConfig:
        return SoftPromptConfig.from_pretrained(folder)
