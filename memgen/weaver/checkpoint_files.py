"""The files beside the config and the tensors of a checkpoint: PEFT's adapters, loader code and model card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import CommitOperationAdd, HfApi

from memgen.base.adapter_files import check_settings, find_adapter, save_adapter
from memgen.base.decoder import Decoder
from memgen.base.model_card import CARD
from memgen.weaver.card import write_card
from memgen.weaver.config import REMOTE_CODE, MemGenConfig

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


class Adapter(NamedTuple):
    """An adapter of a model.

    Attributes:
        name: its name.
        prefix: prefix of its decoder's parameters.
        decoder: the decoder that it is in.
    """

    name: str
    prefix: str
    decoder: Decoder


def write_beside(
    folder: Path,
    config: MemGenConfig,
    adapters: Sequence[Adapter],
    tensors: Mapping[str, torch.Tensor],
    tags: Sequence[str],
) -> None:
    """Writes the adapters, the loader code and, if there is none, a model card.

    Args:
        folder: folder of the checkpoint.
        config: the model's config.
        adapters: its adapters.
        tensors: its state dict.
        tags: the user's tags of the model.
    """
    for name, prefix, decoder in adapters:
        mine = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        base = getattr(decoder.config, "_name_or_path", None) or None
        save_adapter(folder / f"{name}_adapter", mine, name, config.lora(name), base)
    shutil.copyfile(Path(__file__).with_name("remote_code.py"), folder / REMOTE_CODE)
    write_card(folder, config, [adapter.name for adapter in adapters], tags)


def find_adapters(
    model: str, place: Mapping[str, Any], config: MemGenConfig, adapters: Sequence[Adapter]
) -> dict[str, Path]:
    """Returns the folders of a checkpoint's PEFT adapters by name, and checks their settings.

    Args:
        model: folder of the checkpoint, or its name on the hub.
        place: those of the loader's arguments that :data:`PLACE` names.
        config: the model's config.
        adapters: the model's adapters.

    Raises:
        DataError: a file is missing.
        FieldError: rank, alpha or target modules of an adapter are not the config's.
    """
    commit = getattr(config, "_commit_hash", None)
    given = {key: value for key, value in place.items() if value is not None}
    if commit is not None:  # a branch may have moved since the model's tensors were read
        given["revision"] = commit
    folders = {name: find_adapter(model, name, **given) for name, _, _ in adapters}
    for name, folder in folders.items():
        check_settings(folder, config.lora(name))
    return folders


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
    there = hub.file_exists(repo_id, CARD, revision=revision)
    files = sorted({file for pattern in PUBLISHED for file in folder.glob(pattern)})
    commit = hub.create_commit(
        repo_id,
        [
            CommitOperationAdd(path_in_repo=file.relative_to(folder).as_posix(), path_or_fileobj=file)
            for file in files
            if not (there and file.name == CARD)
        ],
        commit_message=commit_message,
        commit_description=commit_description,
        revision=revision,
        create_pr=create_pr,
    )
    return str(commit.commit_url)
