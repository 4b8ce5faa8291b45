"""Loads the base model of a latent method."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from memupdate.errors import FieldError


def read_causal_lm(field: str, path: str) -> PreTrainedModel:
    """Loads a causal LM in fp32.

    Args:
        field: name of the setting that holds ``path``, for the error message.
        path: Hugging Face folder or name.

    Raises:
        FieldError: no causal LM can be loaded from ``path``.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise FieldError(field, path, f"a causal LM that can be loaded ({str(error).splitlines()[0]})") from error
    assert isinstance(model, PreTrainedModel)
    return model
