"""The models that the latent benchmarks measure: a Qwen3 in which arithmetic dominates, with random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from memgen.weaver import MemGenConfig, MemGenModel

VOCABULARY, LATENTS = 8000, 8
PROMPT_IDS = list(range(VOCABULARY - 2 * LATENTS, VOCABULARY - LATENTS))
INFERENCE_IDS = list(range(VOCABULARY - LATENTS, VOCABULARY))
# One token in twelve is a delimiter, as in English prose.
DELIMITERS = list(range(11, VOCABULARY - 2 * LATENTS, 12))


def base(quick: bool, seed: int = 1) -> Qwen3ForCausalLM:
    """A causal LM; ``quick`` makes it small."""
    torch.manual_seed(seed)
    size, layers = (64, 2) if quick else (512, 8)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=size,
        intermediate_size=3 * size,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=size // 8,
        max_position_embeddings=4096,
        initializer_range=0.06,
        tie_word_embeddings=False,
        pad_token_id=0,
    )
    return Qwen3ForCausalLM(config).eval()


def latent_model(
    quick: bool, weaver: str, trigger: str, separate: bool = False, trigger_bias: float = -1.5, **changes: Any
) -> MemGenModel:
    """A MemGen model whose trigger inserts at about half of the places it is asked at.

    Args:
        quick: a small model.
        weaver: ``paper`` or ``shared``.
        trigger: ``paper`` or ``head``.
        separate: weaver and trigger have base models of their own, in place of the reasoner's (the published default).
        trigger_bias: half of what is added to z; below zero, insertions spread over the response.
        changes: fields of the config.
    """
    reasoner = base(quick)
    weaver_base, trigger_base = (base(quick, 2), base(quick, 3)) if separate else (None, None)
    config = MemGenConfig(
        text_config=reasoner.config,
        weaver_config=weaver_base and weaver_base.config,
        trigger_config=trigger_base and trigger_base.config,
        weaver=weaver,
        trigger=trigger,
        prompt_ids=PROMPT_IDS,
        inference_ids=INFERENCE_IDS,
        delimiter_ids=DELIMITERS,
        **{"max_inference_aug_num": 5} | changes,
    )
    model = MemGenModel(config, reasoner, weaver_base and weaver_base.model, trigger_base and trigger_base.model)
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B_" in name or "weaver_to_reasoner" in name:
                parameter.normal_(std=0.05)
            elif name == "trigger.output_layer.weight":
                parameter.normal_(std=0.3)
            elif name == "trigger.output_layer.bias":
                parameter.copy_(torch.tensor([-trigger_bias, trigger_bias]))
    return model.eval()


def random_prompts(count: int, length: int, step: int = 5) -> list[list[int]]:
    """Prompts of different lengths, the longest first."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, 7000, (length - step * row,), generator=generator).tolist() for row in range(count)]
