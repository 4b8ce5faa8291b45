"""Builds a MemGen model around a reasoner and its tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import torch
from transformers import PreTrainedModel

from memgen.model.adapters import LoraSettings
from memgen.model.config import MemGenConfig, tokenizer_digest
from memgen.model.decoder import Decoder
from memgen.model.modeling import MemGenModel
from memgen.stream import DelimiterTable, ReservedIds
from memgen.stream.delimiters import DEFAULT_DELIMITERS


def build_memgen(
    reasoner: PreTrainedModel,
    tokenizer: Any,
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
        FieldError: see :class:`MemGenConfig` and :class:`memgen.stream.DelimiterTable`.
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
    return model.to(device=reasoner.device, dtype=reasoner.dtype)  # type: ignore[call-arg]  # wrapped by Hugging Face


def _decoder(base: PreTrainedModel | None) -> Decoder | None:
    return None if base is None else base.model


def _make_room(reasoner: PreTrainedModel, vocabulary: int) -> None:
    """Grows embeddings and head to ``vocabulary`` rows where they have fewer; the new rows are zero."""
    before = reasoner.config.vocab_size
    if vocabulary <= before:
        return
    reasoner.resize_token_embeddings(vocabulary, mean_resizing=False)
    with torch.no_grad():
        tables: list[Any] = [reasoner.get_input_embeddings(), reasoner.get_output_embeddings()]
        for table in tables:
            table.weight[before:] = 0.0
