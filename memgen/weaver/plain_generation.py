"""Generation as other models of Hugging Face do it: tensors in, tensors of text out.

Pipelines, streamers and ``model.generate(**tokenizer(text, return_tensors="pt"))`` need this form. Latents are inserted
as always, but the returned ids are text only: prompt and response can be decoded, and used as the next prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation import BaseStreamer, GenerateDecoderOnlyOutput

from memgen.base.sampling import SamplingSettings
from memupdate.errors import FieldError

if TYPE_CHECKING:
    from memgen.weaver.modeling import MemGenForCausalLM

# What Hugging Face assumes where nothing is set. A setting that is not used here must have this value.
DEFAULTS: Mapping[str, Any] = {
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "use_cache": True,
    "early_stopping": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "diversity_penalty": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_return_sequences": 1,
}
USED = {
    *("max_length", "max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "num_return_sequences"),
    *("eos_token_id", "pad_token_id", "bos_token_id", "return_dict_in_generate", "use_cache", "transformers_version"),
}
# Settings of assisted generation. Without an assistant, which is refused, they have no effect.
OF_ASSISTANTS = {
    *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
    *("assistant_lookbehind", "target_lookbehind", "is_assistant"),
}


@dataclass(frozen=True)
class PlainSettings:
    """The settings of one call.

    Attributes:
        sampling: how ids are sampled.
        max_new_tokens: maximum number of text ids per response.
        stop_ids: ids that end a response.
        pad_id: id that fills the rows after their end.
        copies: number of responses to each prompt.
        as_output: whether to return Hugging Face's output object and not a tensor.
    """

    sampling: SamplingSettings
    max_new_tokens: int
    stop_ids: list[int]
    pad_id: int
    copies: int
    as_output: bool


def default_settings(reasoner: PreTrainedModel) -> GenerationConfig:
    """Returns a model's own settings: those of its reasoner that MemGen supports. Others would forbid generation."""
    own = reasoner.generation_config
    if own is None:
        return GenerationConfig()
    names = ("eos_token_id", "pad_token_id", "bos_token_id", "do_sample", "temperature", "top_k", "top_p")
    return GenerationConfig(**{name: getattr(own, name) for name in names})


def read_settings(given: GenerationConfig, width: int) -> PlainSettings:
    """Returns the settings of a generation config.

    Args:
        given: the config.
        width: number of columns of the prompts. ``max_length`` includes them.

    Raises:
        FieldError: a setting is not supported.
    """
    values = {**DEFAULTS, **{key: value for key, value in given.to_dict().items() if value is not None}}
    for key, value in values.items():
        if key not in USED | OF_ASSISTANTS and not key.startswith("_") and value and value != DEFAULTS.get(key):
            raise FieldError(key, value, f"{DEFAULTS.get(key)}: MemGen generates with {', '.join(sorted(USED))}")
    stop = values.get("eos_token_id", [])
    stop = [stop] if isinstance(stop, int) else list(stop)
    most = values.get("max_new_tokens")
    if most is None:
        # Hugging Face's own default counts new ids only.
        most = DEFAULTS["max_length"] if given.max_length is None else int(values["max_length"]) - width
    greedy = not values["do_sample"]
    sampling = SamplingSettings(
        temperature=0.0 if greedy else float(values["temperature"]),
        top_k=0 if greedy else int(values["top_k"]),
        top_p=1.0 if greedy else float(values["top_p"]),
    )
    pad = values.get("pad_token_id", stop[0] if stop else 0)
    return PlainSettings(
        sampling, int(most), stop, int(pad), int(values["num_return_sequences"]), bool(given.return_dict_in_generate)
    )


def generate_plain(
    model: MemGenForCausalLM,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    generation_config: GenerationConfig | None,
    streamer: BaseStreamer | None,
    changes: dict[str, Any],
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Generates text.

    Args:
        model: the model.
        input_ids: prompts (B, L), padded on either side.
        attention_mask: 1 for real ids (B, L). If None, only padding with the pad id is not real.
        generation_config: the settings. Where they say nothing, the model's own apply.
        streamer: receives the prompt and then the text ids, for a single prompt.
        changes: settings that replace those of the config.

    Returns:
        Prompts and the text of the responses (B · copies, L + N), padded on the right.

    Raises:
        FieldError: an argument is not supported. See also :meth:`memgen.weaver.modeling.MemGenForCausalLM.generate`.
    """
    config = copy.deepcopy(generation_config or model.generation_config)
    config.update(**model.generation_config.to_dict(), defaults_only=True)
    unknown = {
        key: value for key, value in config.update(**changes).items() if value is not None and value is not False
    }
    if unknown:
        raise FieldError("generate", sorted(unknown), "input_ids, attention_mask, streamer and a generation config")
    settings = read_settings(config, input_ids.shape[1])
    if streamer is not None and len(input_ids) * settings.copies > 1:
        raise FieldError("streamer", f"{len(input_ids) * settings.copies} responses", "a single response")
    prompts = _prompts(input_ids, attention_mask, config)
    prompts = [prompt for prompt in prompts for _ in range(settings.copies)]
    reserved = set(model.rules.reserved.all)

    def tell(_: int, ids: list[int]) -> None:
        for token in ids:
            if streamer is not None and token not in reserved:
                streamer.put(torch.tensor([token]))

    if streamer is not None:
        streamer.put(input_ids.cpu())
    try:
        batch = model.generate(
            prompts,
            max_new_tokens=settings.max_new_tokens,
            sampling=settings.sampling,
            stop_ids=settings.stop_ids,
            on_ids=tell,
        )
    finally:
        if streamer is not None:
            streamer.end()  # a reader in another thread waits for it
    longest = max(len(row.text_ids) for row in batch.rows)
    responses = [row.text_ids + [settings.pad_id] * (longest - len(row.text_ids)) for row in batch.rows]
    before = input_ids.repeat_interleave(settings.copies, 0)
    sequences = torch.cat([before, torch.tensor(responses, dtype=before.dtype, device=before.device)], 1)
    return GenerateDecoderOnlyOutput(sequences=sequences) if settings.as_output else sequences  # type: ignore[arg-type]


def _prompts(input_ids: torch.Tensor, mask: torch.Tensor | None, config: GenerationConfig) -> list[list[int]]:
    if mask is None:
        pad, stop = config.pad_token_id, config.eos_token_id
        stops = {stop} if isinstance(stop, int) else set(stop or ())
        # The end id is often used for padding too. Then it cannot be told from text.
        mask = torch.ones_like(input_ids) if pad is None or pad in stops else input_ids != pad
    return [row[real].tolist() for row, real in zip(input_ids, mask.bool(), strict=True)]
