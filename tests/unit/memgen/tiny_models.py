"""Tiny models with random weights in every part, so that nothing is equal by chance."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from memgen.weaver import MemGenConfig, MemGenModel

VOCAB = 160
PROMPT_IDS, INFERENCE_IDS = [152, 153, 154], [155, 156, 157, 158]
STOP = 1
DELIMITERS = [token for token in range(3, 150) if token % 6 == 2]
CONFIGS = {"qwen2": Qwen2Config, "qwen3": Qwen3Config, "llama": LlamaConfig, "smollm3": SmolLM3Config}


def tiny_base(kind: str = "qwen3", seed: int = 1, hidden_size: int = 48, **changes: Any) -> PreTrainedModel:
    """A causal LM of two layers with weights large enough that its distribution is not flat."""
    settings: dict[str, Any] = {
        "vocab_size": VOCAB,
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.12,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
    }
    if kind == "qwen3":
        settings["head_dim"] = hidden_size // 4
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(CONFIGS[kind](**settings | changes)).eval()


def tiny_memgen(
    weaver: str = "shared",
    trigger: str = "head",
    kind: str = "qwen3",
    separate: bool = False,
    base: dict[str, Any] | None = None,
    **changes: Any,
) -> MemGenModel:
    """A MemGen model; ``separate`` gives weaver and trigger bases of their own, of another architecture and size."""
    reasoner = tiny_base(kind, **(base or {}))
    weaver_base = tiny_base("llama", 2, 32) if separate and weaver == "paper" else None
    trigger_base = tiny_base("qwen2", 3, 24) if separate and trigger == "paper" else None
    settings = {
        "prompt_ids": PROMPT_IDS,
        "inference_ids": INFERENCE_IDS,
        "delimiter_ids": DELIMITERS,
        "max_inference_aug_num": 3,
        "weaver_lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "trigger_lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
    } | changes
    config = MemGenConfig(
        text_config=reasoner.config,
        weaver_config=weaver_base and weaver_base.config,
        trigger_config=trigger_base and trigger_base.config,
        weaver=weaver,
        trigger=trigger,
        **settings,
    )
    model = MemGenModel(config, reasoner, weaver_base and weaver_base.model, trigger_base and trigger_base.model)
    randomise(model)
    return model.eval()


def randomise(model: MemGenModel, seed: int = 5) -> None:
    """Random values for everything that starts at zero or one."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B_" in name:
                parameter.normal_(std=0.2)
            elif "norm" in name.split(".")[1] or "_scale" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif name.startswith("weaver.weaver_to_reasoner"):
                parameter.normal_(std=0.25)
            elif name.startswith("trigger.output_layer"):
                parameter.normal_(std=0.4)


def prompts(lengths: tuple[int, ...] = (5, 17, 9, 12, 3), seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 150, (length,), generator=generator).tolist() for length in lengths]


def padded(rows: list[list[int]], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows padded with 0 on one side, and their mask."""
    width = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[index, place], mask[index, place] = torch.tensor(row), 1
    return ids, mask


def response_log_probs(
    logits: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor, prompt_lengths: list[int], temperature: float = 1.0
) -> list[torch.Tensor]:
    """Log-probs of each row's response ids from teacher-forced logits."""
    log_probs = torch.log_softmax(logits[:, :-1].float() / temperature, -1).gather(-1, ids[:, 1:, None])[..., 0]
    found = []
    for row, length in enumerate(prompt_lengths):
        columns = mask[row].nonzero().squeeze(1)[length:]
        found.append(log_probs[row, columns - 1])
    return found
