"""A Hugging Face folder as a text policy: its chat template, and transformers' own sampling."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from memupdate.chain.contract import Completion, Message, NoRoomError, Schemas
from memupdate.platform.screen import without_weight_bars

# Files that decide what a policy writes.
SUFFIXES = {".json", ".safetensors", ".bin", ".jinja", ".model", ".txt"}
# For a model without a largest position.
UNLIMITED = 2**31


class HuggingFacePolicy:
    """Samples from a causal LM at temperature 1, on a GPU if there is one.

    Args:
        folder: the model's folder, with tokenizer and chat template.
        max_tokens: the largest number of tokens of one turn.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self.identity: Mapping[str, str] = {"sha256": folder_digest(folder)}
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with without_weight_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        self._model = model.to(self._device).eval()
        self._max_tokens = max_tokens
        self._context: int = getattr(self._model.config, "max_position_embeddings", None) or UNLIMITED
        ends = self._model.generation_config.eos_token_id
        self._ends = {self.tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}

    def reply(self, messages: Sequence[Message], tools: Schemas, seed: int) -> Completion:
        """See :class:`memupdate.chain.contract.TextPolicy`. The seed decides, whatever was drawn before."""
        text = self.tokenizer.apply_chat_template(
            [dict(message) for message in messages], tools=list(tools), add_generation_prompt=True, tokenize=False
        )
        ids_1T = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"].to(self._device)
        length = ids_1T.shape[1]
        room = min(self._max_tokens, self._context - length)
        if room < 1:
            raise NoRoomError(length, self._context)
        # All of them, because transformers fills in what is missing from the folder's own generation_config.json.
        sampling = GenerationConfig(
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            min_p=None,
            repetition_penalty=1.0,
            max_new_tokens=room,
            eos_token_id=sorted(self._ends),
            pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id,
        )
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            written_1T = self._model.generate(
                ids_1T, attention_mask=torch.ones_like(ids_1T), generation_config=sampling
            )
        new = written_1T[0, length:].tolist()
        finished = bool(new) and new[-1] in self._ends
        return Completion(self.tokenizer.decode(new[:-1] if finished else new), finished)


def folder_digest(folder: Path) -> str:
    """Returns the SHA-256 of the files of a model's folder, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()
