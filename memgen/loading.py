"""Loads the model of the settings: builds it around a base model, or reads it from a checkpoint."""

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
    """Returns the model of the settings, in fp32, and its tokenizer.

    Raises:
        FieldError: the folder holds no model that can be loaded, or the checkpoint does not match the settings.
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
    assert wanted.reasoner is not None  # read_settings raises if both are missing
    base = read_causal_lm("model.reasoner", wanted.reasoner)
    tokenizer = AutoTokenizer.from_pretrained(wanted.reasoner)
    return method.build(wanted, base, tokenizer), tokenizer


def ready_model(settings: Settings) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Returns the model of the settings, ready to generate, and its tokenizer.

    The model is on the run's device and in the run's dtype, in evaluation mode, and its state is restored.

    Raises:
        FieldError: see :func:`load_model` and :func:`memgen.state.read_state`.
        DataError: see :func:`memgen.state.read_state`.
    """
    model, tokenizer = load_model(settings)
    run = settings.run
    if run.device == "cpu":
        torch.set_num_threads(run.threads)
    model = model.to(device=torch.device(run.device), dtype=DTYPES[run.dtype])  # type: ignore[call-arg]  # wrapped
    read_state(settings, model)
    return model.eval(), tokenizer


def initial_model(settings: Settings, folder: Path, anew: bool) -> tuple[PreTrainedConfig, PreTrainedTokenizerBase]:
    """Returns the config and the tokenizer of the model that training starts from.

    Args:
        settings: the run's settings.
        folder: folder of that model.
        anew: whether to load the model of the settings and write it to ``folder``. If False, ``folder`` must already
            hold it.

    Raises:
        FieldError: see :func:`load_model`.
    """
    method = method_of(settings.model.method)
    method.register()
    if anew:
        model, tokenizer = load_model(settings)
        if settings.run.method == "grpo":
            method.prepare_policy(model.config, settings.run.grpo)
        shutil.rmtree(folder, ignore_errors=True)  # left by a call that failed before the run began
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return method.read_config(folder), AutoTokenizer.from_pretrained(folder)


def check_max_length(settings: Settings, config: PreTrainedConfig) -> int:
    """Checks ``dataset.max_length`` against the model's context and returns it.

    Raises:
        FieldError: it exceeds the model's context.
    """
    context, longest = int(config.max_position_embeddings), settings.dataset.max_length
    if longest > context:
        raise FieldError("dataset.max_length", longest, f"at most {context}, the context of the model")
    return longest
