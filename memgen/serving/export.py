"""A checkpoint as SGLang loads it, of any method that has one."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from memgen.methods import method_of


def export_for_sglang(model: PreTrainedModel, folder: str | Path) -> None:
    """Writes the folder that SGLang serves; the tokenizer is the caller's to save beside it.

    Args:
        model: a model of a latent method, in its serving dtype.
        folder: made where it is not there.

    Raises:
        FieldError: the method, or this model of it, cannot be served by SGLang.
    """
    method_of(model.config.model_type).export_for_sglang(model, Path(folder))
