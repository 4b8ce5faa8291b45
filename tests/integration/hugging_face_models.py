"""A small MemGen model, rows to train it on, and folders as a hub's cache has them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer, TrainingArguments

from memgen.base.chat import generation_prefix
from memgen.data.examples import Example
from memgen.example import conversations, write_base
from memgen.weaver import LoraSettings, MemGenModel, build_memgen
from memgen.weaver.rows import weave_examples

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Made:
    """A base model on disk, its tokenizer with the reserved tokens, and rows with latents."""

    base: Path
    tokenizer: PreTrainedTokenizerBase
    rows: list[dict[str, list[int]]]

    def model(self, **changes: Any) -> MemGenModel:
        """The same model at every call. No tensor of it has the value with which it is initialised."""
        torch.manual_seed(11)
        model = build_memgen(
            AutoModelForCausalLM.from_pretrained(self.base),
            self.tokenizer,
            **{
                "prompt_latents": 2,
                "inference_latents": 3,
                "max_inference_aug_num": 3,
                "delimiters": list(" ,.abcdefghiklmnoprstuw"),
                "generation_prefix": generation_prefix(self.tokenizer),
                "weaver_lora": LoraSettings(rank=4, alpha=8.0, dropout=0.1),
                **changes,
            },
        )
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return model

    def trainer(self, model: MemGenModel, folder: Path, **changes: Any) -> Trainer:
        """A stock Trainer: six steps with two rows each, a checkpoint after three."""
        settings: dict[str, Any] = {
            "per_device_train_batch_size": 2,
            "max_steps": 6,
            "save_steps": 3,
            "logging_steps": 1,
            "learning_rate": 1e-2,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "save_total_limit": 3,
            "seed": 5,
        }
        arguments = TrainingArguments(str(folder), **(settings | changes))
        return Trainer(model, arguments, train_dataset=self.rows, eval_dataset=self.rows[:2])  # type: ignore[arg-type]


def make(folder: Path) -> Made:
    base = write_base(folder / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    made = Made(base, tokenizer, [])
    config = made.model().config
    examples = [Example(tuple(one["messages"]), "here") for one in conversations(6)]
    woven = weave_examples(examples, tokenizer, config.rules(), config.generation_prefix_ids, 256)
    longest = max(len(row.input_ids) for row in woven)
    for row in woven:
        fill = longest - len(row.input_ids)
        labels = [token if scored else -100 for token, scored in zip(row.input_ids, row.loss_mask, strict=True)]
        made.rows.append(
            {
                "input_ids": [*row.input_ids, *[0] * fill],
                "attention_mask": [1] * len(row.input_ids) + [0] * fill,
                "labels": [*labels, *[-100] * fill],
            }
        )
    return made


def assert_same_tensors(found: torch.nn.Module, wanted: torch.nn.Module) -> None:
    state, other = found.state_dict(), wanted.state_dict()
    assert state.keys() == other.keys()
    different = [key for key in state if not torch.equal(state[key], other[key])]
    assert not different


def hub_cache(files: Path, cache: Path, name: str, branch: str = "main") -> None:
    """Puts files into a hub's cache: blobs, and links to them in the folder of a commit."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / branch).write_text(COMMIT)
    for number, file in enumerate(sorted(path for path in files.rglob("*") if path.is_file())):
        blob = folder / "blobs" / f"{number:040d}"
        shutil.copyfile(file, blob)
        link = folder / "snapshots" / COMMIT / file.relative_to(files)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
