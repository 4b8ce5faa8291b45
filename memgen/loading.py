"""The model that the settings name: made around a base model, or read from a checkpoint of its method."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from memgen.base.causal_lm import read_causal_lm
from memgen.methods import method_of, method_of_checkpoint
from memgen.sections import Settings
from memgen.state import read_state
from memupdate.errors import FieldError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load_model(settings: Settings) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Returns the model that the settings name, in fp32, and its tokenizer.

    Raises:
        FieldError: a folder that holds no such model, or a checkpoint that is not what the settings say.
    """
    wanted = settings.model
    method = method_of(wanted.method)
    method.register()
    torch.manual_seed(settings.run.seed)
    if wanted.load_model_path is not None:
        folder = Path(wanted.load_model_path)
        found = type(method_of_checkpoint(folder))
        if found is not type(method):
            raise FieldError("model.method", wanted.method, f"the method of {folder}, which is of {found.__name__}")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return method.read(wanted, folder, tokenizer), tokenizer
    assert wanted.reasoner is not None  # read_settings refuses to leave out both
    base = read_causal_lm("model.reasoner", wanted.reasoner)
    tokenizer = AutoTokenizer.from_pretrained(wanted.reasoner)
    return method.build(wanted, base, tokenizer), tokenizer


def ready_model(settings: Settings) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Returns the same, ready to generate: on the run's device, in its dtype, without dropout, and with its state."""
    model, tokenizer = load_model(settings)
    run = settings.run
    if run.device == "cpu":
        torch.set_num_threads(run.threads)
    model = model.to(device=torch.device(run.device), dtype=DTYPES[run.dtype])  # type: ignore[call-arg]  # wrapped
    read_state(settings, model)
    return model.eval(), tokenizer


def initial_model(settings: Settings, folder: Path, anew: bool) -> tuple[PreTrainedConfig, PreTrainedTokenizerBase]:
    """Returns config and tokenizer of the model that training starts from.

    Args:
        settings: the run's settings.
        folder: the folder of that model.
        anew: whether to write it; it must be there otherwise.

    Raises:
        FieldError: see :func:`load_model`.
    """
    method = method_of(settings.model.method)
    method.register()
    if anew:
        model, tokenizer = load_model(settings)
        if settings.run.method == "grpo":
            method.prepare_policy(model.config, settings.run.grpo)
        shutil.rmtree(folder, ignore_errors=True)  # of a call that ended before the run began
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return method.read_config(folder), AutoTokenizer.from_pretrained(folder)


def check_max_length(settings: Settings, config: PreTrainedConfig) -> int:
    """Returns ``dataset.max_length``.

    Raises:
        FieldError: it is more than the model's context.
    """
    context, longest = int(config.max_position_embeddings), settings.dataset.max_length
    if longest > context:
        raise FieldError("dataset.max_length", longest, f"at most {context}, the context of the model")
    return longest
