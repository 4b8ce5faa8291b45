"""``python -m memgen.example FOLDER`` writes a tiny model, a small task and settings to try the commands."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen3Config

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = ("red", "blue", "green", "black", "white", "pink")
CONFIGS: dict[str, Any] = {"qwen3": Qwen3Config, "llama": LlamaConfig}


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Returns a byte-level tokenizer with a chat template. A turn ends with ``<|im_end|>``."""
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
    """Writes a causal LM with two layers and random weights, and its tokenizer.

    Args:
        folder: folder of the model.
        kind: ``qwen3`` (tied embeddings) or ``llama``.
        hidden_size: hidden size, a multiple of 8.
        seed: random seed of the weights.

    Returns:
        The folder.
    """
    tokenizer = chat_tokenizer()
    config = CONFIGS[kind](
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden_size // 4,
        max_position_embeddings=512,
        initializer_range=0.1,
        tie_word_embeddings=kind == "qwen3",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def copy_task(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Returns instructions to repeat words with commas between them.

    The number of words varies, and so does the number of blocks in a response.
    """
    source = random.Random(seed)
    rows = []
    for _ in range(count):
        words = [source.choice(WORDS) for _ in range(source.randint(2, 5))]
        rows.append({"prompt": "Say it back: " + " ".join(words), "completion": ", ".join(words) + "."})
    return rows


def conversations(count: int, seed: int = 0) -> list[dict[str, list[dict[str, str]]]]:
    """Returns the task of :func:`copy_task` as conversations with two assistant turns each."""
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


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    """Writes rows as JSON lines and returns the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def main(arguments: Sequence[str]) -> int:
    """Writes the model, the data and the settings to the folder given as the only argument."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m memgen.example FOLDER\n")
        return 2
    folder = Path(arguments[0])
    settings = {
        "model": {"reasoner": str(write_base(folder / "base")), "prompt_latents": 2, "inference_latents": 3},
        "dataset": {
            "train_file": str(write_lines(folder / "train.jsonl", copy_task(20))),
            "test_file": str(write_lines(folder / "test.jsonl", copy_task(6, seed=9))),
            "valid_ratio": 0.2,
            "max_length": 256,
        },
        "run": {"sft": {"lr": 0.02}, "generation": {"max_new_tokens": 24}},
    }
    (folder / "instruction.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
