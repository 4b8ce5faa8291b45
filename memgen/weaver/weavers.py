"""The weaver: writes the latents of a block from everything before it.

Shapes: B rows, L columns, K latents of a block, D hidden size of the reasoner, H of the weaver.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from memgen.base.adapters import AdapterUse
from memgen.base.decoder import Decoder, causal_mask, run_decoder
from memgen.weaver.stream import INFERENCE, PROMPT
from memgen.weaver.weaving import Weaving


class MemGenWeaver(nn.Module, ABC):
    """Queries of the two kinds of block, their norms and scales, the projections, and the model that reads the prefix.

    The last hidden states of a block's K queries, through ``weaver_to_reasoner``, are its latents. A query block is
    LayerNorm(queries) · scale. What reads the prefix is a subclass's matter.

    Attributes:
        adapter: name of the LoRA adapter that weaves.
        has_cache: whether it reads the prefix into a cache of its own.
        may_own_decoder: whether it can have another base model than the reasoner.
    """

    adapter: ClassVar[str] = "weaver"
    has_cache: ClassVar[bool]
    may_own_decoder: ClassVar[bool]

    def __init__(
        self, prompt_latents: int, inference_latents: int, reasoner_decoder: Decoder, own_decoder: Decoder | None
    ) -> None:
        super().__init__()
        self.own_decoder = own_decoder
        # In a tuple, so that the reasoner's weights are not registered here again.
        self._borrowed = (reasoner_decoder,)
        reasoner_size = int(reasoner_decoder.config.hidden_size)
        size = int(self.decoder.config.hidden_size)
        self.prompt_queries = nn.Parameter(torch.empty(prompt_latents, size))
        self.inference_queries = nn.Parameter(torch.empty(inference_latents, size))
        self.prompt_norm, self.inference_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.prompt_scale, self.inference_scale = nn.Parameter(torch.empty(1)), nn.Parameter(torch.empty(1))
        self.add_context_projection(reasoner_size, size)
        self.weaver_to_reasoner = nn.Linear(size, reasoner_size)
        self.reset()

    @property
    def decoder(self) -> Decoder:
        """The decoder that weaves: its own, or the reasoner's."""
        return self._borrowed[0] if self.own_decoder is None else self.own_decoder

    def reset(self) -> None:
        """Sets initial values: queries N(0, 1), scales 1."""
        nn.init.normal_(self.prompt_queries)
        nn.init.normal_(self.inference_queries)
        nn.init.ones_(self.prompt_scale)
        nn.init.ones_(self.inference_scale)

    def queries(self, kind: int) -> torch.Tensor:
        """Returns the queries (K, H) of a block of ``kind``."""
        queries: torch.Tensor
        if kind == PROMPT:
            queries = self.prompt_norm(self.prompt_queries) * self.prompt_scale
        else:
            queries = self.inference_norm(self.inference_queries) * self.inference_scale
        return queries

    def queries_of(self, kind_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns queries for a batch of rows, K being the longer of the two blocks.

        Args:
            kind_B: kind of each row's block, 0 for a row without one.

        Returns:
            Queries (B, K, H) and which of them are real (B, K).
        """
        both = [self.queries(PROMPT), self.queries(INFERENCE)]
        longest = max(map(len, both))
        table_2KH = torch.stack([F.pad(queries, (0, 0, 0, longest - len(queries))) for queries in both])
        length_3 = torch.tensor([0, *map(len, both)], device=kind_B.device)
        real_BK = torch.arange(longest, device=kind_B.device) < length_3[kind_B][:, None]
        return table_2KH[(kind_B - 1).clamp(min=0)], real_BK

    def latents(self, hidden: torch.Tensor) -> torch.Tensor:
        """Returns the latents (..., D) of queries whose last hidden states are ``hidden`` (..., H)."""
        latents: torch.Tensor = self.weaver_to_reasoner(hidden)
        return latents

    # -- what a weaver does in its own way

    @abstractmethod
    def add_context_projection(self, reasoner_size: int, size: int) -> None:
        """Adds what :meth:`context` needs. Called between the other parts, whose initial values are drawn in turn."""

    @abstractmethod
    def context(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Returns what the weaver reads (..., H) for input embeddings (..., D) of the reasoner."""

    @abstractmethod
    def adapted_tokens(self, is_query_BQ: torch.Tensor) -> torch.Tensor | None:
        """Returns the positions that LoRA acts on, as indices into the flattened (B, Q); None for all of them.

        Args:
            is_query_BQ: which positions of a pass are queries, and real.
        """

    @abstractmethod
    def read_stream(self, reasoner: Decoder, weaving: Weaving, steps: int, checkpointing: bool) -> torch.Tensor:
        """Weaves the blocks of known streams, and has the reasoner read all of them.

        Args:
            reasoner: the reasoner's decoder.
            weaving: the steps of the batch.
            steps: how many of them weave a block.
            checkpointing: recompute each layer in the backward pass.

        Returns:
            Last hidden states of the reasoner (B, L, D).
        """

    # -- the published interface

    def augment_prompt(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Writes the latents of a block at the prompt's end, from a prefix as a whole (no cache).

        Args:
            inputs_embeds: input embeddings of the reasoner so far (B, L, D), earlier latents included.
            attention_mask: 1 for real items (B, L), padding on any side.

        Returns:
            Latents (B, Kp, D), their mask of ones (B, Kp), and their positions (B, Kp), which go on after each row's
            last real item.
        """
        return self._augment(PROMPT, inputs_embeds, attention_mask)

    def augment_inference(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Writes the latents of a block after a delimiter: as :meth:`augment_prompt`, with Ki of them."""
        return self._augment(INFERENCE, inputs_embeds, attention_mask)

    def _augment(
        self, kind: int, x_BLD: torch.Tensor, mask_BL: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, columns = mask_BL.shape
        mask_BL = mask_BL.bool()
        queries_BKH = self.queries(kind).expand(rows, -1, -1)
        count = queries_BKH.shape[1]
        position_BL = (mask_BL.long().cumsum(1) - 1).clamp(min=0)
        position_BK = mask_BL.sum(1)[:, None] + torch.arange(count, device=mask_BL.device)
        real_BK = torch.ones_like(position_BK, dtype=torch.bool)
        is_query_BQ = torch.cat([torch.zeros_like(mask_BL), real_BK], 1)
        hidden, _ = run_decoder(
            self.decoder,
            torch.cat([self.context(x_BLD), queries_BKH.to(x_BLD.dtype)], 1),
            torch.cat([position_BL, position_BK], 1),
            causal_mask(torch.cat([mask_BL, real_BK], 1), columns + count),
            adapters=[AdapterUse(self.adapter, self.adapted_tokens(is_query_BQ))],
        )
        return self.latents(hidden[:, columns:]), real_BK.to(mask_BL.dtype).long(), position_BK
