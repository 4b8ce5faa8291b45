"""Builds a MemGen model around a reasoner and its tokenizer, or loads one from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memgen.base.adapters import LoraSettings
from memgen.base.causal_lm import read_causal_lm
from memgen.base.chat import generation_prefix
from memgen.base.decoder import Decoder
from memgen.weaver.config import MemGenConfig, tokenizer_digest
from memgen.weaver.modeling import MemGenModel
from memgen.weaver.settings import Lora, MemGenSettings
from memgen.weaver.stream import DelimiterTable, ReservedIds
from memgen.weaver.stream.delimiters import DEFAULT_DELIMITERS
from memupdate.errors import FieldError


def build_memgen(
    reasoner: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    weaver: str = "shared",
    trigger: str = "head",
    mode: str = "learned",
    prompt_latents: int = 8,
    inference_latents: int = 8,
    max_prompt_aug_num: int = 1,
    max_inference_aug_num: int = 5,
    delimiters: Iterable[str] = DEFAULT_DELIMITERS,
    exempt_numbers: bool = False,
    generation_prefix: str = "",
    temperature: float = 1.0,
    weaver_base: PreTrainedModel | None = None,
    trigger_base: PreTrainedModel | None = None,
    weaver_lora: LoraSettings | None = None,
    trigger_lora: LoraSettings | None = None,
) -> MemGenModel:
    """Builds a model with an untrained weaver and an untrained trigger.

    Args:
        reasoner: a causal LM. It becomes part of the model. If its vocabulary is too small for the reserved ids, it
            grows by rows of zeros, which are never used.
        tokenizer: the reasoner's tokenizer. The reserved tokens are added to it in place.
        weaver: ``shared`` or ``paper``.
        trigger: ``head`` or ``paper``.
        mode: ``learned``, ``always`` or ``never``.
        prompt_latents: number of latents in a block at the end of a prompt.
        inference_latents: number of latents in a block after a delimiter.
        max_prompt_aug_num: number of turns, from the first, whose prompt may end in a block.
        max_inference_aug_num: maximum number of blocks after delimiters in one response.
        delimiters: texts. A token is a delimiter if its text ends in one of them.
        exempt_numbers: whether a point or comma right after a digit is not a delimiter.
        generation_prefix: text that opens an assistant turn.
        temperature: temperature by which trainer and sampler divide logits.
        weaver_base: a causal LM as the base model of the ``paper`` weaver. None uses the reasoner's weights.
        trigger_base: the same for the ``paper`` trigger. It must use the reasoner's tokenizer.
        weaver_lora: shape of the weaver's adapter. None means the defaults.
        trigger_lora: shape of the trigger's adapter. None means the defaults.

    Returns:
        The model, in the reasoner's dtype and on its device.

    Raises:
        FieldError: a value is not allowed or does not fit the models. See :class:`MemGenConfig` and
            :class:`memgen.weaver.stream.DelimiterTable`.
    """
    reserved = ReservedIds.add_to(tokenizer, prompt_latents, inference_latents)
    table = DelimiterTable.from_tokenizer(tokenizer, delimiters, exempt_numbers)
    _make_room(reasoner, len(tokenizer))
    config = MemGenConfig(
        text_config=reasoner.config,
        weaver_config=None if weaver_base is None else weaver_base.config,
        trigger_config=None if trigger_base is None else trigger_base.config,
        weaver=weaver,
        trigger=trigger,
        mode=mode,
        prompt_ids=list(reserved.prompt),
        inference_ids=list(reserved.inference),
        delimiter_ids=sorted(table.ids),
        separator_ids=sorted(table.separator_ids),
        digit_ids=sorted(table.digit_ids),
        max_prompt_aug_num=max_prompt_aug_num,
        max_inference_aug_num=max_inference_aug_num,
        generation_prefix_ids=tokenizer.encode(generation_prefix, add_special_tokens=False),
        temperature=temperature,
        weaver_lora=asdict(weaver_lora or LoraSettings()),
        trigger_lora=asdict(trigger_lora or LoraSettings()),
        tokenizer_digest=tokenizer_digest(tokenizer),
    )
    model = MemGenModel(config, reasoner, _decoder(weaver_base), _decoder(trigger_base))
    built: MemGenModel = model.to(device=reasoner.device, dtype=reasoner.dtype)  # type: ignore[call-arg]  # wrapped
    return built


def build_from_settings(
    settings: MemGenSettings, reasoner: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> MemGenModel:
    """Builds an untrained model from the settings. It loads the separate base models of weaver and trigger, if set.

    Raises:
        FieldError: a base model cannot be loaded. See also :func:`build_memgen`.
    """
    bases = {
        name: None if path is None else read_causal_lm(f"model.{name}", path)
        for name, path in (("weaver_base", settings.weaver_base), ("trigger_base", settings.trigger_base))
    }
    return build_memgen(
        reasoner,
        tokenizer,
        weaver=settings.weaver,
        trigger=settings.trigger,
        mode=settings.mode,
        prompt_latents=settings.prompt_latents,
        inference_latents=settings.inference_latents,
        max_prompt_aug_num=settings.max_prompt_aug_num,
        max_inference_aug_num=settings.max_inference_aug_num,
        delimiters=settings.delimiters,
        exempt_numbers=settings.exempt_numbers,
        generation_prefix=generation_prefix(tokenizer),
        weaver_base=bases["weaver_base"],
        trigger_base=bases["trigger_base"],
        weaver_lora=_lora(settings.weaver_lora),
        trigger_lora=_lora(settings.trigger_lora),
    )


def read_checkpoint(settings: MemGenSettings, folder: Path, tokenizer: PreTrainedTokenizerBase) -> MemGenModel:
    """Loads a checkpoint in fp32 and sets the mode of the settings.

    The other settings must match the checkpoint. A key without effect would mislead the user.

    Raises:
        FieldError: the tokenizer or the settings do not match the checkpoint.
    """
    config = MemGenConfig.from_pretrained(folder)
    assert isinstance(config, MemGenConfig)
    config.check_tokenizer(tokenizer)
    _check_read(settings, folder, config, tokenizer)
    model = MemGenModel.from_pretrained(folder, dtype=torch.float32)
    assert isinstance(model, MemGenModel)
    model.config.mode = settings.mode
    return model


def _check_read(
    settings: MemGenSettings, folder: Path, config: MemGenConfig, tokenizer: PreTrainedTokenizerBase
) -> None:
    found = {
        "weaver": config.weaver,
        "trigger": config.trigger,
        "prompt_latents": len(config.prompt_ids),
        "inference_latents": len(config.inference_ids),
        "max_prompt_aug_num": config.max_prompt_aug_num,
        "max_inference_aug_num": config.max_inference_aug_num,
    }
    for key, value in found.items():
        if getattr(settings, key) != value:
            raise FieldError(f"model.{key}", getattr(settings, key), f"{value}, as {folder} has it")
    for name, given in (("weaver", _lora(settings.weaver_lora)), ("trigger", _lora(settings.trigger_lora))):
        if given != config.lora(name):
            raise FieldError(f"model.{name}_lora", given, f"{config.lora(name)}, as {folder} has it")
    table = DelimiterTable.from_tokenizer(tokenizer, settings.delimiters, settings.exempt_numbers)
    if table != config.rules().delimiters:
        raise FieldError("model.delimiters", settings.delimiters, f"those of {folder}")


def _lora(given: Lora) -> LoraSettings:
    return LoraSettings(given.rank, given.alpha, given.dropout, tuple(given.target_modules))


def _decoder(base: PreTrainedModel | None) -> Decoder | None:
    return None if base is None else base.model


def _make_room(reasoner: PreTrainedModel, vocabulary: int) -> None:
    """Grows the embeddings and the head to ``vocabulary`` rows if they have fewer. The new rows are zero."""
    before = reasoner.config.vocab_size
    if vocabulary <= before:
        return
    reasoner.resize_token_embeddings(vocabulary, mean_resizing=False)
    with torch.no_grad():
        for table in (reasoner.get_input_embeddings(), reasoner.get_output_embeddings()):
            assert isinstance(table.weight, torch.Tensor)
            table.weight[before:] = 0.0
