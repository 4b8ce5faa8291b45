"""How a MemGen model is written and read: Hugging Face's format, with its adapters and a model card."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import PreTrainedModel

from memgen.base.adapter_files import check_adapter, check_keys
from memgen.weaver.checkpoint_files import PLACE, Adapter, find_adapters, publish, write_beside
from memgen.weaver.config import MemGenConfig
from memupdate.errors import FieldError


class MemGenPreTrainedModel(PreTrainedModel):
    """The part of the model that saves, uploads and loads it."""

    config_class = MemGenConfig
    config: MemGenConfig

    def adapters(self) -> list[Adapter]:
        """Returns the adapters of the weaver and the trigger."""
        raise NotImplementedError

    @staticmethod
    def component_of(name: str) -> str | None:
        """Returns the component to which a parameter belongs; None for a frozen base model."""
        raise NotImplementedError

    def train_only(self, *components: str) -> None:
        """Makes only these components trainable."""
        raise NotImplementedError

    def save_pretrained(  # type: ignore[override]  # push_to_hub's arguments are collected in hub
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: dict[str, torch.Tensor] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = "50GB",
        variant: str | None = None,
        **hub: Any,
    ) -> None:
        """Writes a checkpoint, and uploads it if asked to.

        The files are ``config.json``, ``generation_config.json``, safetensors with all tensors, a copy of each adapter
        in PEFT's format in ``NAME_adapter/``, ``modeling_memgen.py`` and, if there is none yet, a model card.

        Args:
            save_directory: folder of the checkpoint.
            is_main_process: whether this process writes the files that all processes share.
            state_dict: the tensors to write. None means the model's own state dict. A sharded model passes its gathered
                tensors.
            push_to_hub: whether to upload the checkpoint, in one commit, after everything was written.
            max_shard_size: size above which the safetensors file is split.
            variant: not supported.
            hub: ``repo_id`` (default: the folder's name) and the other arguments of :meth:`push_to_hub`.

        Raises:
            FieldError: ``state_dict`` lacks a tensor of the weaver or the trigger, or a variant is given.
        """
        if variant is not None:
            raise FieldError("variant", variant, "None: the adapters are written once, in the dtype of the model")
        folder = Path(save_directory)
        tensors = self.state_dict() if state_dict is None else state_dict
        if is_main_process:
            trained = {name for name, _ in self.named_parameters() if self.component_of(name) is not None}
            check_keys("state_dict", missing=trained - set(tensors), extra=set())
        # Hugging Face's method empties the dictionary that it is given.
        super().save_pretrained(
            folder, is_main_process=is_main_process, state_dict=dict(tensors), max_shard_size=max_shard_size
        )
        if is_main_process:
            write_beside(folder, self.config, self.adapters(), tensors, self.model_tags or [])
            if push_to_hub:
                publish(folder, **{"repo_id": folder.name, **hub})

    def push_to_hub(  # type: ignore[override]  # its other arguments are collected in hub
        self, repo_id: str, *, max_shard_size: int | str = "50GB", **hub: Any
    ) -> str:
        """Uploads the model in one commit.

        Args:
            repo_id: name of the repository. It is created if it does not exist.
            max_shard_size: see :meth:`save_pretrained`.
            hub: see :func:`memgen.weaver.checkpoint_files.publish`.

        Returns:
            The address of the commit.
        """
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            return publish(Path(folder), repo_id=repo_id, **hub)

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoModel") -> None:
        """Does nothing. Hugging Face would copy our source into checkpoints, but ``auto_map`` names the package."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Loads a checkpoint. It must hold exactly the tensors of the model.

        Args:
            pretrained_model_name_or_path: folder of the checkpoint, or its name on the Hugging Face hub.
            args: positional arguments of Hugging Face's ``from_pretrained``.
            kwargs: keyword arguments of Hugging Face's ``from_pretrained``.

        Raises:
            FieldError: a tensor is missing, extra or of another shape, an adapter's copy differs from the model's
                tensors, or the model would be quantised or spread over devices.
            DataError: a file of an adapter is missing.
        """
        where = str(pretrained_model_name_or_path)
        for field in ("quantization_config", "variant"):
            if kwargs.get(field) is not None:
                raise FieldError(field, kwargs[field], "None: MemGen does not support it")
        wants_info = kwargs.pop("output_loading_info", False)
        place = {name: kwargs[name] for name in PLACE if name in kwargs}
        given = kwargs.get("state_dict") is not None
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path,
            *args,
            # Mismatches are reported below, with their names.
            **{**kwargs, "ignore_mismatched_sizes": True, "output_loading_info": True},
        )
        model, info = loaded
        # Tensors that the caller brings have no files.
        folders = {} if given else find_adapters(where, place, model.config, model.adapters())
        for key, stored, expected in info["mismatched_keys"]:
            raise FieldError(f"{where}: {key}", tuple(stored), f"shape {tuple(expected)}, as its config.json says")
        check_keys(where, missing=set(info["missing_keys"]), extra=set(info["unexpected_keys"]))
        if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
            raise FieldError("device_map", model.hf_device_map, "one device: the model cannot be spread over several")
        for adapter in model.adapters() if folders else []:
            check_adapter(folders[adapter.name], adapter.decoder, adapter.name)
        model.train_only(*model.config.trainable)
        return (model, info) if wants_info else model
