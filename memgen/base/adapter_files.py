"""Adapters on disk in PEFT's format: ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, TaskType
from safetensors.torch import load_file, save_file
from torch import nn

from memgen.base.adapters import LoraSettings, adapted_layers
from memupdate.errors import DataError, FieldError

# PEFT's prefix of tensor names for a causal LM whose decoder is the attribute ``model``.
PREFIX = "base_model.model.model."
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


def save_adapter(
    folder: Path, decoder_tensors: Mapping[str, torch.Tensor], name: str, settings: LoraSettings, base: str | None
) -> None:
    """Writes an adapter of a decoder as a PEFT adapter of the causal LM that the decoder belongs to.

    Args:
        folder: folder of the two files. It is created if it does not exist.
        decoder_tensors: state dict of the decoder. Tensors of other adapters and base weights are ignored.
        name: name of the adapter.
        settings: shape of the adapter.
        base: name of the base model, stored for users of PEFT; None if it is unknown.
    """
    tensors = {}
    for key, tensor in decoder_tensors.items():
        path, _, last = key.rpartition(".")
        if last in (f"lora_A_{name}", f"lora_B_{name}"):
            matrix = last.removesuffix(f"_{name}")
            tensors[f"{PREFIX}{path}.{matrix}.weight"] = tensor.detach().cpu().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # PEFT computes with it as a number
        lora_dropout=settings.dropout,
        target_modules=sorted(settings.target_modules),
        task_type=TaskType.CAUSAL_LM,
        base_model_name_or_path=base,
        inference_mode=True,
    ).save_pretrained(str(folder))


def load_adapter(folder: Path, decoder: nn.Module, name: str) -> None:
    """Loads a PEFT adapter into the adapter ``name`` of ``decoder``.

    The file must hold exactly the tensors of that adapter.

    Raises:
        DataError: a file is missing.
        FieldError: a tensor is missing, extra or of another shape, or rank, alpha or target modules differ from the
            model's.
    """
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise DataError(f"{folder / file}: not found; an adapter is {CONFIG} and {WEIGHTS}")
    layers = adapted_layers(decoder, name)
    _check_settings(folder, next(iter(layers.values())).settings[name])
    found = load_file(folder / WEIGHTS)
    wanted: dict[str, nn.Parameter] = {}
    for path, layer in layers.items():
        down, up = layer.matrices(name)
        wanted |= {f"{PREFIX}{path}.lora_A.weight": down, f"{PREFIX}{path}.lora_B.weight": up}
    check_keys(str(folder / WEIGHTS), missing=set(wanted) - set(found), extra=set(found) - set(wanted))
    for key, parameter in wanted.items():
        if found[key].shape != parameter.shape:
            raise FieldError(f"{folder / WEIGHTS}: {key}", tuple(found[key].shape), f"shape {tuple(parameter.shape)}")
        with torch.no_grad():
            parameter.copy_(found[key])


def check_keys(where: str, missing: set[str], extra: set[str]) -> None:
    """Checks that a checkpoint holds exactly the tensors of the model.

    Args:
        where: the checkpoint, for the error message.
        missing: names of tensors that the checkpoint lacks.
        extra: names of tensors that the model does not have.

    Raises:
        FieldError: a tensor is missing or extra.
    """
    if missing:
        raise FieldError(where, f"without {sorted(missing)[:5]}", f"every tensor of the model; {len(missing)} missing")
    if extra:
        raise FieldError(where, f"with {sorted(extra)[:5]}", f"no tensor that is not the model's; {len(extra)} extra")


def _check_settings(folder: Path, settings: LoraSettings) -> None:
    stored = json.loads((folder / CONFIG).read_text())
    for key, value in (
        ("r", settings.rank),
        ("lora_alpha", settings.alpha),
        ("target_modules", sorted(settings.target_modules)),
    ):
        given = sorted(stored[key]) if key == "target_modules" else stored[key]
        if given != value:
            raise FieldError(f"{folder / CONFIG}: {key}", given, f"{value}, as in the model's config.json")
