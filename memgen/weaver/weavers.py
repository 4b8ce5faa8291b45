"""The weaver: computes the latents of a block from everything before the block.

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
    """The base class of weavers.

    For each kind of block, a weaver has K learned queries, a layer norm and a scale. To weave a block, a model reads
    the prefix and then LayerNorm(queries) · scale. The last hidden states of the queries, projected by
    ``weaver_to_reasoner``, are the latents of the block. A subclass decides which model reads the prefix.

    Attributes:
        adapter: name of the weaver's LoRA adapter.
        has_cache: whether the weaver reads the prefix into its own cache.
        may_own_decoder: whether the weaver can have a base model separate from the reasoner's.
    """

    adapter: ClassVar[str] = "weaver"
    has_cache: ClassVar[bool]
    may_own_decoder: ClassVar[bool]

    def __init__(
        self, prompt_latents: int, inference_latents: int, reasoner_decoder: Decoder, own_decoder: Decoder | None
    ) -> None:
        super().__init__()
        self.own_decoder = own_decoder
        # A tuple hides the decoder from nn.Module, so that the reasoner's weights are not registered twice.
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
        """The decoder of the weaver: a separate one if there is one, else the reasoner's."""
        return self._borrowed[0] if self.own_decoder is None else self.own_decoder

    def reset(self) -> None:
        """Initialises the queries from N(0, 1) and the scales with 1."""
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
        """Returns the queries for a batch of rows. K is the length of the longer kind of block.

        Args:
            kind_B: kind of each row's block, 0 for a row without a block.

        Returns:
            Queries (B, K, H), and a mask (B, K) that is True for real queries.
        """
        both = [self.queries(PROMPT), self.queries(INFERENCE)]
        longest = max(map(len, both))
        table_2KH = torch.stack([F.pad(queries, (0, 0, 0, longest - len(queries))) for queries in both])
        length_3 = torch.tensor([0, *map(len, both)], device=kind_B.device)
        real_BK = torch.arange(longest, device=kind_B.device) < length_3[kind_B][:, None]
        return table_2KH[(kind_B - 1).clamp(min=0)], real_BK

    def latents(self, hidden: torch.Tensor) -> torch.Tensor:
        """Returns the latents (..., D) for the last hidden states ``hidden`` (..., H) of queries."""
        latents: torch.Tensor = self.weaver_to_reasoner(hidden)
        return latents

    # -- what a subclass implements

    @abstractmethod
    def add_context_projection(self, reasoner_size: int, size: int) -> None:
        """Adds the modules that :meth:`context` needs.

        ``__init__`` calls it between creating the other modules, so it affects the order of random initial values.

        Args:
            reasoner_size: hidden size of the reasoner.
            size: hidden size of the weaver.
        """

    @abstractmethod
    def context(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Returns the weaver's input embeddings (..., H) for input embeddings (..., D) of the reasoner."""

    @abstractmethod
    def adapted_tokens(self, is_query_BQ: torch.Tensor) -> torch.Tensor | None:
        """Returns the positions to which LoRA is applied, as indices into the flattened (B, Q), or None for all.

        Args:
            is_query_BQ: True for the positions of a pass that are real queries.
        """

    @abstractmethod
    def read_stream(self, reasoner: Decoder, weaving: Weaving, steps: int, checkpointing: bool) -> torch.Tensor:
        """Weaves the blocks of known streams and runs the reasoner over the streams.

        Args:
            reasoner: the reasoner's decoder.
            weaving: the steps of the batch.
            steps: number of steps that weave a block.
            checkpointing: whether to recompute each layer in the backward pass.

        Returns:
            Last hidden states of the reasoner (B, L, D).
        """

    # -- the published interface

    def augment_prompt(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Computes the latents of a block at the end of the prompt. It reads the whole prefix without a cache.

        Args:
            inputs_embeds: input embeddings of the reasoner's prefix (B, L, D), including earlier latents.
            attention_mask: 1 for real items (B, L), with padding on any side.

        Returns:
            Latents (B, Kp, D), their mask of ones (B, Kp), and their position ids (B, Kp). The positions continue after
            the last real item of each row.
        """
        return self._augment(PROMPT, inputs_embeds, attention_mask)

    def augment_inference(
        self, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Computes the Ki latents of a block after a delimiter, otherwise like :meth:`augment_prompt`."""
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
