"""Packed forward passes for generation: spans of different rows and roles form one sequence without padding.

A span is a run of new positions of one row in one lane. A lane is a separate cache: one for the reasoner's stream, one
for the weaver's projection of the stream, one for the trigger's text. Roles that share a base model share its passes,
so its weights are read only once per pass. The slot of a position in the cache is its position id. The weaver's queries
are written after the end of the stream, and the next items of the stream overwrite them.

Shapes: N new positions of all spans, Q new positions of one span, R rows, S spans of one position, D hidden size, H key
heads, G query heads per key head, E head size, C cache slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from memgen.base.adapters import AdapterUse, active_adapters
from memgen.base.decoder import Decoder

ATTENTION = "memgen"


@dataclass
class Span:
    """A run of new positions of one row in one lane.

    Attributes:
        lane: index of the lane.
        row: index of the row in the cache.
        start: position id of the first new position.
        x_ND: input embeddings of the new positions.
        adapter: name of the adapter to apply, or None.
    """

    lane: int
    row: int
    start: int
    x_ND: torch.Tensor
    adapter: str | None = None


class PackedDecoder:
    """A decoder with its caches for a batch of rows."""

    def __init__(self, decoder: Decoder, lanes: int, rows: int, capacity: int) -> None:
        """Sets the shape of the caches. Their memory is allocated in the first pass.

        Args:
            decoder: the decoder of a Hugging Face causal LM.
            lanes: number of lanes.
            rows: number of rows in the batch.
            capacity: maximum number of positions in one lane of one row.
        """
        self.decoder = decoder
        self.shape = (lanes, rows, capacity)
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def run(self, spans: Sequence[Span]) -> list[torch.Tensor]:
        """Runs one pass over all spans and writes their keys and values to the caches.

        Returns:
            For each span, its last hidden states (length of the span, D).
        """
        lengths = [len(span.x_ND) for span in spans]
        x_ND = torch.cat([span.x_ND for span in spans])
        layout = _Layout(self, spans, lengths, x_ND.device)
        rotary = self.decoder.rotary_emb(x_ND[None], layout.position_N[None])
        x_1ND = x_ND[None]
        with active_adapters(self.decoder).use(layout.adapters):
            for layer in self.decoder.layers:
                x_1ND = layer(
                    x_1ND,
                    attention_mask=None,
                    position_ids=layout.position_N[None],
                    position_embeddings=rotary,
                    packed=layout,
                )
        return list(self.decoder.norm(x_1ND)[0].split(lengths))

    def move(self, source: int, target: int) -> None:
        """Copies the caches of row ``source`` to row ``target``."""
        for cache in (*self.keys, *self.values):
            cache[:, target] = cache[:, source]

    def layer_cache(self, layer: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the cached keys and values of a layer, each (lanes, rows, key heads, C, head size).

        The first call for a layer allocates them with the dtype, device and head sizes of ``like``, which has shape
        (1, key heads, N, head size).
        """
        if layer == len(self.keys):
            lanes, rows, capacity = self.shape
            shape = (lanes, rows, like.shape[1], capacity, like.shape[3])
            self.keys.append(like.new_zeros(shape))
            self.values.append(like.new_zeros(shape))
        return self.keys[layer], self.values[layer]


@dataclass
class _Singles:
    """The spans of length 1 in one lane. One attention call over the first rows of the lane serves all of them.

    Attributes:
        lane: index of the lane.
        rows: number of rows in the attention call: the largest row index plus one.
        row_S: row of each span.
        token_S: index of each span's position in the packed sequence.
        dense: whether the spans are exactly the rows 0 to ``rows`` - 1, in order.
        end: number of cache slots in the attention call.
        mask_R11C: attention mask, or None if every row sees all of these slots.
    """

    lane: int
    rows: int
    row_S: torch.Tensor
    token_S: torch.Tensor
    dense: bool
    end: int
    mask_R11C: torch.Tensor | None


@dataclass
class _Run:
    """A span of two or more positions. It has its own attention call.

    Attributes:
        lane: index of the lane.
        row: index of the row.
        offset: index of the span's first position in the packed sequence.
        length: number of positions.
        end: number of cache slots in the attention call.
        mask_QC: attention mask, or None if the span starts at position 0 and plain causal attention is right.
    """

    lane: int
    row: int
    offset: int
    length: int
    end: int
    mask_QC: torch.Tensor | None


class _Layout:
    """The cache slots and attention calls of the new positions. They are the same for every layer of a pass."""

    def __init__(
        self, owner: PackedDecoder, spans: Sequence[Span], lengths: Sequence[int], device: torch.device
    ) -> None:
        self.owner = owner
        offsets = [0]
        for length in lengths:
            offsets.append(offsets[-1] + length)
        places = torch.tensor(
            [
                (span.lane, span.row, span.start + index)
                for span, length in zip(spans, lengths, strict=True)
                for index in range(length)
            ],
            device=device,
        )
        self.lane_N, self.row_N, self.position_N = places.unbind(1)
        self.adapters = self._adapters(spans, offsets, device)
        self.singles = [
            self._single(
                lane, [(s, o) for s, o, n in zip(spans, offsets, lengths, strict=False) if n == 1 and s.lane == lane]
            )
            for lane in sorted({span.lane for span, n in zip(spans, lengths, strict=True) if n == 1})
        ]
        self.runs = [
            self._run(span, offset, length, device)
            for span, offset, length in zip(spans, offsets, lengths, strict=False)
            if length > 1
        ]

    @staticmethod
    def _adapters(spans: Sequence[Span], offsets: Sequence[int], device: torch.device) -> list[AdapterUse]:
        tokens: dict[str, list[int]] = {}
        for span, start, end in zip(spans, offsets, offsets[1:], strict=False):
            if span.adapter is not None:
                tokens.setdefault(span.adapter, []).extend(range(start, end))
        return [AdapterUse(name, torch.tensor(indices, device=device)) for name, indices in tokens.items()]

    def _single(self, lane: int, members: list[tuple[Span, int]]) -> _Singles:
        device = self.position_N.device
        rows = [span.row for span, _ in members]
        starts = [span.start for span, _ in members]
        count, end = max(rows) + 1, max(starts) + 1
        mask_R11C = None
        if min(starts) + 1 != end or len(rows) != count:
            # A row without a new position attends to its first slot. The result is not used.
            last_R = torch.zeros(count, dtype=torch.long)
            last_R[rows] = torch.tensor(starts)
            mask_R11C = (torch.arange(end) <= last_R[:, None])[:, None, None].to(device)
        return _Singles(
            lane=lane,
            rows=count,
            row_S=torch.tensor(rows, device=device),
            token_S=torch.tensor([offset for _, offset in members], device=device),
            dense=rows == list(range(count)),
            end=end,
            mask_R11C=mask_R11C,
        )

    @staticmethod
    def _run(span: Span, offset: int, length: int, device: torch.device) -> _Run:
        end = span.start + length
        mask_QC = None
        if span.start:
            mask_QC = torch.arange(end, device=device) <= torch.arange(span.start, end, device=device)[:, None]
        return _Run(span.lane, span.row, offset, length, end, mask_QC)

    def attend(
        self, layer: int, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float | None
    ) -> torch.Tensor:
        """Writes the new keys and values to the cache and computes attention.

        Args:
            layer: index of the layer.
            query: queries (1, query heads, N, head size).
            keys: new keys (1, key heads, N, head size).
            values: new values (1, key heads, N, head size).
            scaling: factor of the attention scores; None means 1 / sqrt(head size).

        Returns:
            Attention output (1, N, query heads, head size).
        """
        cache_K, cache_V = self.owner.layer_cache(layer, keys)
        cache_K[self.lane_N, self.row_N, :, self.position_N] = keys[0].transpose(0, 1)
        cache_V[self.lane_N, self.row_N, :, self.position_N] = values[0].transpose(0, 1)
        key_heads, head_size = keys.shape[1], keys.shape[3]
        groups = query.shape[1] // key_heads
        out_NHE = query.new_empty(query.shape[2], query.shape[1], head_size)
        for single in self.singles:
            # The G query heads of a key head are treated as G queries, so keys need not be repeated.
            q_SHGE = query[0].transpose(0, 1)[single.token_S].view(-1, key_heads, groups, head_size)
            q_RHGE = q_SHGE
            if not single.dense:
                q_RHGE = q_SHGE.new_zeros(single.rows, key_heads, groups, head_size)
                q_RHGE[single.row_S] = q_SHGE
            attended_RHGE = F.scaled_dot_product_attention(
                q_RHGE,
                cache_K[single.lane, : single.rows, :, : single.end],
                cache_V[single.lane, : single.rows, :, : single.end],
                attn_mask=single.mask_R11C,
                scale=scaling,
            )
            if not single.dense:
                attended_RHGE = attended_RHGE[single.row_S]
            out_NHE[single.token_S] = attended_RHGE.reshape(-1, key_heads * groups, head_size)
        for run in self.runs:
            tokens = slice(run.offset, run.offset + run.length)
            keys_1HCE = cache_K[run.lane, run.row, :, : run.end][None]
            values_1HCE = cache_V[run.lane, run.row, :, : run.end][None]
            if run.mask_QC is None:
                attended = F.scaled_dot_product_attention(
                    query[:, :, tokens], keys_1HCE, values_1HCE, is_causal=True, scale=scaling, enable_gqa=groups > 1
                )[0]
            else:
                q_1HXE = query[0, :, tokens].reshape(1, key_heads, groups * run.length, head_size)
                attended = F.scaled_dot_product_attention(
                    q_1HXE, keys_1HCE, values_1HCE, attn_mask=run.mask_QC.repeat(groups, 1), scale=scaling
                )[0].view(key_heads * groups, run.length, head_size)
            out_NHE[tokens] = attended.transpose(0, 1)
        return out_NHE[None]


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packed: _Layout | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Computes packed attention in a packed pass, and Hugging Face's scaled dot-product attention otherwise."""
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    return packed.attend(int(module.layer_idx), query, key, value, kwargs["scaling"]), None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
