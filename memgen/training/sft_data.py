"""Supervised data for the weaver: conversations as woven streams, one row a turn (verl's ``data.custom_cls``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from memgen.model import MemGenConfig
from memgen.stream import StreamRules, weave_text
from memupdate.errors import DataError, FieldError


def turns_of(messages: Sequence[dict[str, str]], tokenizer: Any, where: str) -> list[tuple[list[int], list[int]]]:
    """Prompt and response ids of every assistant message; an instruction is a conversation of one turn.

    Args:
        messages: ``{"role": …, "content": …}`` in order.
        tokenizer: with a chat template.
        where: the row, for messages.

    Raises:
        DataError: no assistant message, or a template that writes a conversation's start otherwise once it goes on.
    """
    turns = []
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(messages[:index], add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(messages[: index + 1], return_dict=False)
        if whole[: len(prompt)] != prompt:
            raise DataError(f"{where}: the chat template's generation prompt is not how the message's text begins")
        turns.append((list(prompt), list(whole[len(prompt) :])))
    if not turns:
        raise DataError(f"{where}: no assistant message to learn from")
    return turns


class WovenConversations(Dataset):
    """Rows of JSONL files with ``messages``; each turn becomes a stream with latents on the published schedule."""

    def __init__(
        self, parquet_files: Any, tokenizer: Any, config: Any, processor: Any = None, max_samples: int = -1
    ) -> None:
        """Reads and weaves everything; verl's signature.

        Args:
            parquet_files: paths of JSONL files, one or several (the name is verl's).
            tokenizer: the model's.
            config: verl's ``data`` section; ``memgen_model`` names the MemGen checkpoint, ``max_length`` caps a stream.
            processor: not used, there are no images.
            max_samples: turns to keep, all where negative.

        Raises:
            FieldError: a turn whose stream is longer than ``max_length``, or a tokenizer that is not the model's.
            DataError: a row without messages or without an assistant's.
        """
        model = MemGenConfig.from_pretrained(config.memgen_model)
        model.check_tokenizer(tokenizer)
        rules: StreamRules = model.rules()
        self.rows: list[tuple[list[int], int]] = []
        for file in [parquet_files] if isinstance(parquet_files, str) else parquet_files:
            for number, line in enumerate(Path(file).read_text().splitlines(), 1):
                where = f"{file}:{number}"
                row = json.loads(line)
                if "messages" not in row:
                    raise DataError(f"{where}: no field messages; it has {sorted(row)}")
                for turn, (prompt, response) in enumerate(turns_of(row["messages"], tokenizer, where)):
                    stream = weave_text(rules, prompt, response, turn)
                    if len(stream) > config.max_length:
                        raise FieldError(f"{where}: turn {turn}", f"{len(stream)} ids", f"at most {config.max_length}")
                    self.rows.append((stream, len(prompt)))
        if max_samples >= 0:
            self.rows = self.rows[:max_samples]
        self.reserved = frozenset(rules.reserved.all)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Ids, positions and loss mask of a stream: 1 on the assistant's text, 0 on the prompt and on latents."""
        stream, prompt_length = self.rows[index]
        mask = [int(i >= prompt_length and token not in self.reserved) for i, token in enumerate(stream)]
        return {
            "input_ids": torch.tensor(stream),
            "position_ids": torch.arange(len(stream)),
            "loss_mask": torch.tensor(mask),
        }
