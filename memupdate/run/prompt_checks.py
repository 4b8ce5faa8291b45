"""Checks that every prompt of a run fits into ``data.max_prompt_length``. verl would cut off its beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf

from memupdate.errors import FieldError

FIELD = "data.max_prompt_length"
# Tokens per character differ between texts, so more than the one longest prompt is counted.
COUNTED = 32


def check_prompts(config: DictConfig) -> None:
    """Counts the tokens of the longest prompts of both splits, if the model and the rows are on this machine.

    Raises:
        FieldError: a prompt has more tokens than ``data.max_prompt_length``.
    """
    model = Path(str(config.actor_rollout_ref.model.path)).expanduser()
    files = [Path(str(name)) for name in (config.data.train_files, config.data.val_files)]
    if not (model / "config.json").is_file() or not all(file.is_file() for file in files):
        return
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model))
    tools = _schemas(Path(config.actor_rollout_ref.rollout.multi_turn.tool_config_path))
    for file in files:
        prompts = pq.read_table(file, columns=[config.data.prompt_key]).column(config.data.prompt_key).to_pylist()
        for prompt in sorted(prompts, key=_characters)[-COUNTED:]:
            tokens = tokenizer.apply_chat_template(prompt, tools=tools, add_generation_prompt=True, return_dict=False)
            if len(tokens) > config.data.max_prompt_length:
                allowed = f"{len(tokens)} or more, for a prompt of {file.name} with the tools (or shorter sessions: "
                raise FieldError(
                    FIELD, config.data.max_prompt_length, allowed + "memupdate preprocess --session-characters N)"
                )


def _schemas(tool_file: Path) -> list[Any]:
    """Returns the tools' schemas as the chat template gets them."""
    from verl.tools.schemas import OpenAIFunctionToolSchema

    content = OmegaConf.to_container(OmegaConf.load(tool_file), resolve=True)
    assert isinstance(content, dict)
    return [
        OpenAIFunctionToolSchema.model_validate(entry["tool_schema"]).model_dump(exclude_unset=True, exclude_none=True)
        for entry in content["tools"]
    ]


def _characters(prompt: Sequence[Mapping[str, str]]) -> int:
    return sum(len(message["content"]) for message in prompt)
