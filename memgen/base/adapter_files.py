"""Adapters on disk in PEFT's format: ``adapter_config.json`` and ``adapter_model.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, TaskType
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.utils.hub import cached_file

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


def find_adapter(model: str, name: str, subfolder: str = "", **hub: Any) -> Path:
    """Returns the folder of an adapter's files, which are downloaded if the model is not a local folder.

    Args:
        model: local folder of a checkpoint, or its name on the Hugging Face hub.
        name: name of the adapter. Its files are in ``NAME_adapter`` beside the model's.
        subfolder: folder of the model's files inside ``model``.
        hub: arguments of Hugging Face's ``cached_file``, for example ``revision`` and ``cache_dir``.

    Raises:
        DataError: a file is missing.
    """
    folder = Path()
    for file in (CONFIG, WEIGHTS):
        path = f"{name}_adapter/{file}"
        try:
            found = cached_file(model, path, subfolder=subfolder, **hub)
        except OSError as error:
            where = Path(model) / subfolder / path
            raise DataError(f"{where}: not found; an adapter is {CONFIG} and {WEIGHTS} ({error})") from error
        folder = Path(str(found)).parent
    return folder


def check_adapter(folder: Path, decoder: nn.Module, name: str) -> None:
    """Checks that a PEFT adapter is a copy of the adapter ``name`` of ``decoder``.

    A checkpoint holds each adapter twice: in the model's own tensors, which every loader of Hugging Face reads, and as
    a PEFT adapter. If the two differ, nobody can know which one was meant.

    Raises:
        FieldError: a tensor is missing, extra or of another shape, or a value differs from the model's.
    """
    layers = adapted_layers(decoder, name)
    found = load_file(folder / WEIGHTS)
    wanted: dict[str, nn.Parameter] = {}
    for path, layer in layers.items():
        down, up = layer.matrices(name)
        wanted |= {f"{PREFIX}{path}.lora_A.weight": down, f"{PREFIX}{path}.lora_B.weight": up}
    check_keys(str(folder / WEIGHTS), missing=set(wanted) - set(found), extra=set(found) - set(wanted))
    for key, parameter in wanted.items():
        field = f"{folder / WEIGHTS}: {key}"
        if found[key].shape != parameter.shape:
            raise FieldError(field, tuple(found[key].shape), f"shape {tuple(parameter.shape)}")
        # A rank that gets its tensors from another one has none yet.
        if not parameter.is_meta and not _equal(found[key], parameter.detach()):
            raise FieldError(
                field, "other values", "those of the model's own tensors: the files do not belong together"
            )


def _equal(stored: torch.Tensor, loaded: torch.Tensor) -> bool:
    return torch.allclose(stored.to(loaded.dtype), loaded.cpu(), rtol=0, atol=0, equal_nan=True)


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


def check_settings(folder: Path, settings: LoraSettings) -> None:
    """Checks that rank, alpha and target modules of a PEFT adapter are the model's.

    Raises:
        FieldError: one of them differs.
    """
    stored = json.loads((folder / CONFIG).read_text())
    for key, value in (
        ("r", settings.rank),
        ("lora_alpha", settings.alpha),
        ("target_modules", sorted(settings.target_modules)),
    ):
        given = sorted(stored[key]) if key == "target_modules" else stored[key]
        if given != value:
            raise FieldError(f"{folder / CONFIG}: {key}", given, f"{value}, as in the model's config.json")
