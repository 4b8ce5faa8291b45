"""The files of a checkpoint beside ``config.json`` and the model's tensors: PEFT's adapters, loader code, model card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import HfApi

from memgen.base.adapter_files import check_adapter, check_keys, find_adapter, save_adapter
from memgen.base.model_card import CARD
from memgen.weaver.card import write_card
from memgen.weaver.config import REMOTE_CODE

if TYPE_CHECKING:
    from memgen.weaver.modeling import MemGenForCausalLM

# What belongs to a checkpoint. Nothing else of its folder is uploaded.
PUBLISHED = [
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "*_adapter/adapter_*",
    REMOTE_CODE,
    CARD,
]
# The arguments of Hugging Face's ``from_pretrained`` that say where a file is.
PLACE = ("subfolder", "revision", "cache_dir", "token", "local_files_only", "force_download", "proxies")


def check_complete(model: MemGenForCausalLM, tensors: Mapping[str, torch.Tensor]) -> None:
    """Checks that a state dict holds every tensor of the weaver and the trigger.

    Raises:
        FieldError: one is missing.
    """
    trained = {key for key, _ in model.named_parameters() if model.component_of(key) is not None}
    check_keys("state_dict", missing=trained - set(tensors), extra=set())


def write_beside(model: MemGenForCausalLM, tensors: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Writes the adapters, the loader code and, if there is none, a model card.

    Args:
        model: the model.
        tensors: its state dict.
        folder: folder of the checkpoint.
    """
    for name, prefix, decoder in model.adapters():
        mine = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        base = getattr(decoder.config, "_name_or_path", None) or None
        save_adapter(folder / f"{name}_adapter", mine, name, model.config.lora(name), base)
    shutil.copyfile(Path(__file__).with_name("remote_code.py"), folder / REMOTE_CODE)
    write_card(model, folder)


def check_copies(model: MemGenForCausalLM, name_or_path: str, place: Mapping[str, Any]) -> None:
    """Checks that the PEFT adapters of a checkpoint are copies of the adapters in a model that was loaded from it.

    Args:
        model: the model.
        name_or_path: folder of the checkpoint, or its name on the hub.
        place: those of the loader's arguments that :data:`PLACE` names.

    Raises:
        FieldError: see :func:`memgen.base.adapter_files.check_adapter`.
        DataError: a file is missing.
    """
    commit = getattr(model.config, "_commit_hash", None)
    place = {key: value for key, value in place.items() if value is not None}
    if commit is not None:  # a branch may have moved since the model's tensors were read
        place["revision"] = commit
    for name, _, decoder in model.adapters():
        check_adapter(find_adapter(name_or_path, name, **place), decoder, name)


def publish(
    folder: Path,
    *,
    repo_id: str,
    commit_message: str = "Upload MemGen model",
    commit_description: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Uploads the files of a checkpoint in one commit. A model card that is already on the hub is not replaced.

    Args:
        folder: folder of the checkpoint.
        repo_id: name of the repository. It is created if it does not exist.
        commit_message: message of the commit.
        commit_description: description of the commit.
        private: whether a new repository is private. None means the default of its owner.
        token: token of the hub. None means the one that is logged in.
        revision: branch. It is created if it does not exist.
        create_pr: whether to open a pull request instead of changing the branch.

    Returns:
        The address of the commit.
    """
    hub = HfApi(token=token)
    repo_id = hub.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision is not None and not create_pr:
        hub.create_branch(repo_id, branch=revision, exist_ok=True)
    commit = hub.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        allow_patterns=PUBLISHED,
        ignore_patterns=[CARD] if hub.file_exists(repo_id, CARD, revision=revision) else None,
        commit_message=commit_message,
        commit_description=commit_description,
        revision=revision,
        create_pr=create_pr,
    )
    return str(commit.commit_url)
