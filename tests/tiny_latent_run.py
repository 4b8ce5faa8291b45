"""A tiny base model with a chat template, and small data, for runs of memgen."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = ("red", "blue", "green", "black", "white", "pink")


def chat_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = [" ".join(WORDS), ", ".join(WORDS) + ".", "user\nassistant\nsystem\n", "Say it back: "]
    tokenizer.train_from_iterator(lines * 4, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|im_end|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def write_base(folder: Path, kind: str = "qwen3", hidden_size: int = 48, seed: int = 1) -> Path:
    """A causal LM of two layers and its tokenizer."""
    tokenizer = chat_tokenizer()
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden_size,
        "intermediate_size": 2 * hidden_size,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,
        "tie_word_embeddings": kind == "qwen3",
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(seed)
    if kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(head_dim=hidden_size // 4, **settings))
    else:
        model = LlamaForCausalLM(LlamaConfig(**settings))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def copy_task(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Instructions: say some words back, with commas between them, so that streams have different numbers of blocks."""
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        words = [source.choice(WORDS) for _ in range(source.randint(2, 5))]
        rows.append({"prompt": "Say it back: " + " ".join(words), "completion": ", ".join(words) + "."})
    return rows


def conversations(count: int, seed: int = 0) -> list[dict[str, list[dict[str, str]]]]:
    """Two turns each."""
    rows = copy_task(2 * count, seed)
    return [
        {
            "messages": [
                {"role": role, "content": row[key]}
                for row in pair
                for role, key in (("user", "prompt"), ("assistant", "completion"))
            ]
        }
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def write_lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
