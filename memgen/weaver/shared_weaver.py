"""The weaver that shares the reasoner and its cache. Queries follow the stream, and LoRA is applied only to them.

Shapes: B rows, S items of a step, K latents of a block, P past and Q new positions, D hidden size of the reasoner.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from memgen.base.adapters import AdapterUse
from memgen.base.decoder import Decoder, KeyValues, append_first, causal_mask, run_decoder
from memgen.weaver.columns import put
from memgen.weaver.weavers import MemGenWeaver
from memgen.weaver.weaving import Weaving


class SharedWeaver(MemGenWeaver):
    """The weaver that uses the reasoner itself.

    The reasoner reads the queries after its own stream. There is no second cache and no input projection.
    """

    has_cache: ClassVar[bool] = False
    may_own_decoder: ClassVar[bool] = False

    def add_context_projection(self, reasoner_size: int, size: int) -> None:
        """Adds nothing: the two hidden sizes are equal."""

    def context(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Returns the embeddings unchanged."""
        return embeddings

    def adapted_tokens(self, is_query_BQ: torch.Tensor) -> torch.Tensor:
        """Returns the positions of the queries."""
        return is_query_BQ.reshape(-1).nonzero().squeeze(1)

    def read_stream(self, reasoner: Decoder, weaving: Weaving, steps: int, checkpointing: bool) -> torch.Tensor:
        """Runs the items and the queries of each step through the reasoner in one pass."""
        hidden_BLD = torch.zeros_like(weaving.inputs_BLD)
        past: KeyValues | None = None
        past_real_BP = weaving.plan.mask_BL[:, :0]
        for step in range(steps + 1):
            items = weaving.items(step)
            x_BQD, position_BQ, real_BQ = items.x_BSD, items.position_BS, items.real_BS
            count = x_BQD.shape[1]
            adapters: list[AdapterUse] = []
            if step < steps:
                queries = weaving.queries(step, self.queries_of)
                x_BQD = torch.cat([x_BQD, queries.queries_BKH.to(x_BQD.dtype)], 1)
                position_BQ = torch.cat([position_BQ, queries.position_BK], 1)
                is_query_BQ = torch.cat([torch.zeros_like(real_BQ), queries.real_BK], 1)
                real_BQ = torch.cat([real_BQ, queries.real_BK], 1)
                adapters = [AdapterUse(self.adapter, self.adapted_tokens(is_query_BQ))]
            mask = causal_mask(torch.cat([past_real_BP, real_BQ], 1), real_BQ.shape[1])
            hidden, new = run_decoder(reasoner, x_BQD, position_BQ, mask, past, adapters, checkpointing)
            hidden_BLD = put(hidden_BLD, items.column_BS, hidden[:, :count])
            if step < steps:
                past = append_first(past, new, count)
                past_real_BP = torch.cat([past_real_BP, items.real_BS], 1)
                weaving.take_latents(self.latents(hidden[:, count:]))
        return hidden_BLD
