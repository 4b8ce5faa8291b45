"""Runs the decoder layers of a Hugging Face causal LM over embeddings, by a loop of our own.

Hugging Face's own loop drops the cache when it checkpoints, and takes one set of positions and masks for a batch. The
layers, their weights and their names are Hugging Face's.

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

# Their layers share one interface: hidden states, rotary embeddings, an explicit mask, a cache. SmolLM and SmolLM2 are
# "llama".
SUPPORTED = ("llama", "qwen2", "qwen3", "smollm3")
# Rotary embeddings that depend on the length of the sequence would not be the same in a cache.
STEADY_ROPE = ("default", "linear", "llama3", "yarn")

# A Hugging Face decoder (a causal LM's ``model``): a module with ``layers``, ``norm``, ``rotary_emb``, ``embed_tokens``
# and ``config``, of a class that depends on the architecture.
Decoder = Any

# Keys and values of each layer, (B, heads, P, head size).
KeyValues = list[tuple[torch.Tensor, torch.Tensor]]


def check_supported(config: PreTrainedConfig, field: str) -> None:
    """Refuses a base model that the loop does not cover.

    Raises:
        FieldError: another architecture, sliding-window layers, or rotary embeddings that vary with the length.
    """
    if config.model_type not in SUPPORTED:
        raise FieldError(f"{field}.model_type", config.model_type, ", ".join(SUPPORTED))
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise FieldError(f"{field}.layer_types", "sliding_attention", "full attention in every layer")
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    if rope not in STEADY_ROPE:
        raise FieldError(f"{field}.rope_parameters.rope_type", rope, ", ".join(STEADY_ROPE))


class _LayerCache:
    """What a layer sees as its cache: past keys and values, never changed, and the new ones that it adds."""

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
        position_BQ: their position ids.
        mask_B1QK: True where a query may see a key, over past and new keys; None is plain causal without a past.
        past: keys and values before them; not changed.
        adapters: adapters in use.
        checkpointing: recompute each layer in the backward pass.

    Returns:
        Last hidden states (B, Q, D), and the keys and values of the new positions.
    """
    active = active_adapters(decoder)
    rotary = decoder.rotary_emb(x_BQD, position_BQ)
    new: KeyValues = []
    for index, layer in enumerate(decoder.layers):
        # Everything that a recompute needs is an argument or is set inside: no state outlives the call.
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
    """Returns ``past`` and behind it the first ``keep`` new positions; the rest (queries of a weave) is dropped."""
    kept = [(keys[:, :, :keep], values[:, :, :keep]) for keys, values in new]
    if past is None:
        return kept
    return [
        (torch.cat([old_keys, keys], 2), torch.cat([old_values, values], 2))
        for (old_keys, old_values), (keys, values) in zip(past, kept, strict=True)
    ]


def causal_mask(valid_BK: torch.Tensor, queries: int) -> torch.Tensor:
    """Returns a mask (B, 1, Q, K) in which a query sees the valid keys up to itself.

    An invalid query sees itself alone, so that its state is finite.

    Args:
        valid_BK: real items, past and new; the last ``queries`` of them are the new ones.
        queries: Q.
    """
    keys = valid_BK.shape[1]
    column_K = torch.arange(keys, device=valid_BK.device)
    column_Q1 = column_K[keys - queries :, None]
    seen_BQK = valid_BK[:, None, :] & (column_K <= column_Q1)
    return (seen_BQK | (column_K == column_Q1))[:, None]
