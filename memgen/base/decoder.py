"""Runs the decoder layers of a Hugging Face causal LM over input embeddings.

Hugging Face's own loop drops the cache with gradient checkpointing, so this module has its own loop. The layers, their
weights and their names are Hugging Face's.

Shapes: B rows, Q new positions, P past positions, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig

from memgen.base.adapters import AdapterUse, active_adapters
from memupdate.errors import FieldError

# The layers of these architectures share one interface: hidden states, rotary embeddings, an explicit mask and a cache.
# SmolLM and SmolLM2 have the type "llama".
SUPPORTED = ("llama", "qwen2", "qwen3", "smollm3")
# Types of rotary embeddings that do not depend on the sequence length. With other types, cached keys would become wrong
# as the sequence grows.
STEADY_ROPE = ("default", "linear", "llama3", "yarn")

# A Hugging Face decoder (the attribute ``model`` of a causal LM): a module with ``layers``, ``norm``, ``rotary_emb``,
# ``embed_tokens`` and ``config``. Its class depends on the architecture.
Decoder = Any

# Keys and values of each layer, each of shape (B, key heads, P, head size).
KeyValues = list[tuple[torch.Tensor, torch.Tensor]]


def check_supported(config: PreTrainedConfig, field: str) -> None:
    """Checks that :func:`run_decoder` supports a base model.

    Args:
        config: config of the base model.
        field: name of the config, for error messages.

    Raises:
        FieldError: the architecture is not supported, a layer has sliding-window attention, or the rotary embeddings
            depend on the sequence length.
    """
    if config.model_type not in SUPPORTED:
        raise FieldError(f"{field}.model_type", config.model_type, ", ".join(SUPPORTED))
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise FieldError(f"{field}.layer_types", "sliding_attention", "full attention in every layer")
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    if rope not in STEADY_ROPE:
        raise FieldError(f"{field}.rope_parameters.rope_type", rope, ", ".join(STEADY_ROPE))


class _LayerCache:
    """The cache that one layer sees. It never changes the past keys and values, and it stores the new ones."""

    def __init__(self, past: tuple[torch.Tensor, torch.Tensor] | None) -> None:
        self.past = past
        self.new: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self.new = (keys, values)
        if self.past is None:
            return keys, values
        return torch.cat([self.past[0], keys], 2), torch.cat([self.past[1], values], 2)


def run_decoder(
    decoder: Decoder,
    x_BQD: torch.Tensor,
    position_BQ: torch.Tensor,
    mask_B1QK: torch.Tensor | None,
    past: KeyValues | None = None,
    adapters: Sequence[AdapterUse] = (),
    checkpointing: bool = False,
) -> tuple[torch.Tensor, KeyValues]:
    """Runs all layers and the final norm.

    Args:
        decoder: the decoder of a Hugging Face causal LM (its ``model``).
        x_BQD: input embeddings of the new positions.
        position_BQ: position ids of the new positions.
        mask_B1QK: attention mask over past and new keys, K = P + Q. True lets a query attend to a key. None means
            causal attention and is allowed only without a past.
        past: keys and values of the past positions, or None. They are not changed.
        adapters: the adapters to apply.
        checkpointing: whether to recompute each layer in the backward pass.

    Returns:
        Last hidden states (B, Q, D), and the keys and values of the new positions.
    """
    active = active_adapters(decoder)
    rotary = decoder.rotary_emb(x_BQD, position_BQ)
    new: KeyValues = []
    for index, layer in enumerate(decoder.layers):
        # A recompute must see the same values, so everything is an argument or is set inside this function.
        def one_layer(
            x: torch.Tensor, layer: nn.Module = layer, cache_past: Any = past[index] if past else None
        ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            cache = _LayerCache(cache_past)
            with active.use(adapters):
                x = layer(
                    x,
                    attention_mask=mask_B1QK,
                    position_ids=position_BQ,
                    past_key_values=cache,
                    position_embeddings=rotary,
                )
            assert cache.new is not None
            return x, *cache.new

        if checkpointing:
            x_BQD, keys, values = checkpoint(one_layer, x_BQD, use_reentrant=False)
        else:
            x_BQD, keys, values = one_layer(x_BQD)
        new.append((keys, values))
    return decoder.norm(x_BQD), new


def append_first(past: KeyValues | None, new: KeyValues, keep: int) -> KeyValues:
    """Appends the first ``keep`` new positions to ``past`` and returns the result.

    The other new positions are dropped: they are the weaver's queries.
    """
    kept = [(keys[:, :, :keep], values[:, :, :keep]) for keys, values in new]
    if past is None:
        return kept
    return [
        (torch.cat([old_keys, keys], 2), torch.cat([old_values, values], 2))
        for (old_keys, old_values), (keys, values) in zip(past, kept, strict=True)
    ]


def causal_mask(valid_BK: torch.Tensor, queries: int) -> torch.Tensor:
    """Returns a mask (B, 1, Q, K) in which each query sees itself and the valid keys before it.

    An invalid query also sees itself, so that its hidden state is finite.

    Args:
        valid_BK: True for real items, past and new. The last ``queries`` columns are the new items.
        queries: number of new items, Q.
    """
    keys = valid_BK.shape[1]
    column_K = torch.arange(keys, device=valid_BK.device)
    column_Q1 = column_K[keys - queries :, None]
    seen_BQK = valid_BK[:, None, :] & (column_K <= column_Q1)
    return (seen_BQK | (column_K == column_Q1))[:, None]
