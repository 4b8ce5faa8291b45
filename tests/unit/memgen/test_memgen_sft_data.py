"""Conversations as woven rows (G17)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_tokenizer import small_tokenizer
from tiny_models import tiny_base

from memgen.model import build_memgen
from memgen.training.sft_data import WovenConversations
from memupdate.errors import DataError, FieldError

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TALK = [
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "a, b. x"},
    {"role": "user", "content": "So?"},
    {"role": "assistant", "content": "x"},
]


def rows(folder: Path, *conversations: object, max_length: int = 200) -> WovenConversations:
    tokenizer = small_tokenizer()
    tokenizer.chat_template = TEMPLATE
    model = build_memgen(tiny_base(vocab_size=len(tokenizer)), tokenizer, prompt_latents=2, inference_latents=3)
    model.save_pretrained(folder / "model")
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, conversations)))
    config = SimpleNamespace(memgen_model=str(folder / "model"), max_length=max_length)
    return WovenConversations(str(folder / "train.jsonl"), tokenizer, config)


def test_each_turn_is_a_row_whose_loss_is_on_the_assistants_text(tmp_path: Path) -> None:
    """G17: a turn's prompt is the clean text before it; latents and prompt have no loss."""
    data, tokenizer = rows(tmp_path, {"messages": TALK}), small_tokenizer()
    first, second = (data[index] for index in range(2))
    assert len(data) == 2
    supervised = [tokenizer.decode(row["input_ids"][row["loss_mask"].bool()]) for row in (first, second)]
    assert supervised == ["a, b. x<|im_end|>\n", "x<|im_end|>\n"]
    reserved = [token >= len(tokenizer) for token in first["input_ids"].tolist()]
    assert sum(reserved) == 2 + 2 * 3, "a block at the prompt's end and after the comma and the point"
    assert not any(token >= len(tokenizer) for token in second["input_ids"].tolist()), "turn 1 has no prompt block"
    assert second["position_ids"].tolist() == list(range(len(second["input_ids"])))


def test_bad_rows_are_refused_by_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train.jsonl:2: no field messages"):
        rows(tmp_path, {"messages": TALK}, {"text": "x"})
    with pytest.raises(DataError, match="no assistant message"):
        rows(tmp_path, {"messages": TALK[:1]})
    with pytest.raises(FieldError, match="at most 20"):
        rows(tmp_path, {"messages": TALK}, max_length=20)
    with pytest.raises(FieldError, match="reserved"):
        rows(tmp_path, {"messages": [TALK[0], {"role": "assistant", "content": "<|latent_prompt_0|>"}]})
