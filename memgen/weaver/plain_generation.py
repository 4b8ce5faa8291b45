"""Generation as other models of Hugging Face do it: tensors in, tensors of text out.

Pipelines, streamers and ``model.generate(**tokenizer(text, return_tensors="pt"))`` need this form. Latents are inserted
as always, but the returned ids are text only: prompt and response can be decoded, and used as the next prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation.streamers import BaseStreamer
from transformers.generation.utils import GenerateDecoderOnlyOutput

from memgen.base.sampling import SamplingSettings
from memgen.methods import OnIds
from memgen.weaver.generated import GeneratedBatch
from memupdate.errors import FieldError

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
    respond: Callable[..., GeneratedBatch],
    own: GenerationConfig,
    reserved: AbstractSet[int],
    arguments: dict[str, Any],
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """Generates text.

    Args:
        respond: the model's ``generate`` for prompts that are lists.
        own: the model's own settings. They apply where the caller says nothing.
        reserved: the reserved ids.
        arguments: what the caller passed. ``input_ids`` or ``inputs`` are prompts (B, L), padded on either side.
            ``attention_mask`` (B, L) is 1 for real ids; without it only padding with the pad id is not real.
            ``streamer`` receives a single prompt and then its text ids. The others are ``generation_config`` and
            settings that replace those of the config.

    Returns:
        Prompts and the text of the responses (B · copies, L + N), padded on the right.

    Raises:
        FieldError: an argument is not supported. See also :meth:`memgen.weaver.modeling.MemGenForCausalLM.generate`.
    """
    names = ("input_ids", "inputs", "attention_mask", "streamer", "generation_config")
    first, second, mask, streamer, given = (arguments.pop(name, None) for name in names)
    if (first is None) == (second is None):
        raise FieldError("input_ids", "none" if first is None else "two tensors", "one tensor of prompts")
    input_ids: torch.Tensor = second if first is None else first
    config = copy.deepcopy(given or own)
    config.update(**own.to_dict(), defaults_only=True)
    unknown = [name for name, value in config.update(**arguments).items() if value is not None and value is not False]
    if unknown:
        raise FieldError("generate", sorted(unknown), f"{', '.join(names)} and settings of a generation config")
    settings = read_settings(config, input_ids.shape[1])
    if streamer is not None and len(input_ids) * settings.copies > 1:
        raise FieldError("streamer", f"{len(input_ids) * settings.copies} responses", "a single response")
    prompts = [prompt for prompt in _prompts(input_ids, mask, config) for _ in range(settings.copies)]
    with _told(streamer, input_ids, reserved) as tell:
        batch = respond(
            prompts,
            max_new_tokens=settings.max_new_tokens,
            sampling=settings.sampling,
            stop_ids=settings.stop_ids,
            on_ids=tell,
        )
    longest = max(len(row.text_ids) for row in batch.rows)
    responses = [row.text_ids + [settings.pad_id] * (longest - len(row.text_ids)) for row in batch.rows]
    before = input_ids.repeat_interleave(settings.copies, 0)
    sequences = torch.cat([before, torch.tensor(responses, dtype=before.dtype, device=before.device)], 1)
    return GenerateDecoderOnlyOutput(sequences=sequences) if settings.as_output else sequences  # type: ignore[arg-type]


@contextmanager
def _told(streamer: BaseStreamer | None, input_ids: torch.Tensor, reserved: AbstractSet[int]) -> Iterator[OnIds | None]:
    """Gives a streamer the prompt, then each text id, and always the end: a reader in another thread waits for it."""
    if streamer is None:
        yield None
        return

    def tell(_: int, ids: list[int]) -> None:
        for token in ids:
            if token not in reserved:
                streamer.put(torch.tensor([token]))

    try:
        streamer.put(input_ids.cpu())
        yield tell
    finally:
        streamer.end()


def _prompts(input_ids: torch.Tensor, mask: torch.Tensor | None, config: GenerationConfig) -> list[list[int]]:
    if mask is None:
        pad, stop = config.pad_token_id, config.eos_token_id
        stops = {stop} if isinstance(stop, int) else set(stop or ())
        # The end id is often used for padding too. Then it cannot be told from text.
        mask = torch.ones_like(input_ids) if pad is None or pad in stops else input_ids != pad
    return [row[real].tolist() for row, real in zip(input_ids, mask.bool(), strict=True)]
