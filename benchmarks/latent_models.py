"""The models of the latent benchmarks: Qwen3 with random weights, large enough that arithmetic dominates the time."""

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
    """Returns a causal LM with random weights; a small one if ``quick``."""
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
    """Returns a MemGen model whose trigger inserts at about half of the candidate positions.

    Args:
        quick: whether to make a small model.
        weaver: ``paper`` or ``shared``.
        trigger: ``paper`` or ``head``.
        separate: whether weaver and trigger have separate base models (the published default) or use the reasoner's.
        trigger_bias: half of the number that is added to the trigger's logit z. If it is negative, insertions spread
            over the response.
        changes: other fields of the config.
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
    """Returns random prompts of different lengths, the longest first.

    Args:
        count: the number of prompts.
        length: the length of the first prompt.
        step: the difference in length between one prompt and the next.
    """
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, 7000, (length - step * row,), generator=generator).tolist() for row in range(count)]
