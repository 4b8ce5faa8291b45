"""Exports a model of a latent method for SGLang."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from memgen.methods import method_of


def export_for_sglang(model: PreTrainedModel, folder: str | Path) -> None:
    """Writes a checkpoint that SGLang can serve. The caller must save the tokenizer to the folder.

    Args:
        model: a model of a latent method, in the dtype that SGLang will serve.
        folder: folder of the checkpoint. It is created if it does not exist.

    Raises:
        FieldError: SGLang cannot serve the method or this model of it.
    """
    method_of(model.config.model_type).export_for_sglang(model, Path(folder))
