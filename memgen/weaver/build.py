"""Builds a MemGen model around a reasoner and its tokenizer, or reads one from a checkpoint."""

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
    """Builds a model whose weaver and trigger are untrained.

    Args:
        reasoner: a causal LM; it becomes part of the model. Its vocabulary grows where it has no rows for the reserved
            ids; those rows are zero and never used.
        tokenizer: the reasoner's; the reserved tokens are added to it in place.
        weaver: ``shared`` or ``paper``.
        trigger: ``head`` or ``paper``.
        mode: ``learned``, ``always`` or ``never``.
        prompt_latents: latents of a block at the prompt's end.
        inference_latents: latents of a block after a delimiter.
        max_prompt_aug_num: turns whose prompt may end in a block.
        max_inference_aug_num: blocks after delimiters, in one response.
        delimiters: texts that a token must end in.
        exempt_numbers: a point or comma after a digit does not count.
        generation_prefix: text that opens an assistant's turn.
        temperature: what trainer and sampler divide logits by.
        weaver_base: a causal LM for the ``paper`` weaver; the reasoner's own weights where None.
        trigger_base: the same for the ``paper`` trigger; it must use the reasoner's tokenizer.
        weaver_lora: shape of the weaver's adapter.
        trigger_lora: shape of the trigger's adapter.

    Returns:
        The model, in the reasoner's dtype and on its device.

    Raises:
        FieldError: see :class:`MemGenConfig` and :class:`memgen.weaver.stream.DelimiterTable`.
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
    """Builds an untrained model as the settings say, and reads the bases of weaver and trigger where they have any.

    Raises:
        FieldError: a base that cannot be read, or see :func:`build_memgen`.
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
    """Reads a checkpoint in fp32, in the mode that the settings say.

    Raises:
        FieldError: the tokenizer or the settings are not the checkpoint's: a key that changed nothing would mislead.
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
    """Grows embeddings and head to ``vocabulary`` rows where they have fewer; the new rows are zero."""
    before = reasoner.config.vocab_size
    if vocabulary <= before:
        return
    reasoner.resize_token_embeddings(vocabulary, mean_resizing=False)
    with torch.no_grad():
        for table in (reasoner.get_input_embeddings(), reasoner.get_output_embeddings()):
            assert isinstance(table.weight, torch.Tensor)
            table.weight[before:] = 0.0
