"""MemGen's weaver as published: a model with its own LoRA adapter and its own cache.

Shapes: B rows, S items of a step, K latents of a block, P past and Q new positions, H hidden size of the weaver.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from memgen.base.adapters import AdapterUse
from memgen.base.decoder import Decoder, KeyValues, append_first, causal_mask, run_decoder
from memgen.weaver.weavers import MemGenWeaver
from memgen.weaver.weaving import Weaving


class PaperWeaver(MemGenWeaver):
    """The published weaver.

    It reads all input embeddings of the stream so far, including earlier latents, projected by ``reasoner_to_weaver``.
    Then it reads the queries. LoRA is applied to every position. The base model is a separate one or the reasoner's.
    """

    has_cache: ClassVar[bool] = True
    may_own_decoder: ClassVar[bool] = True

    def add_context_projection(self, reasoner_size: int, size: int) -> None:
        """Adds a linear layer from the reasoner's hidden size to the weaver's."""
        self.reasoner_to_weaver = nn.Linear(reasoner_size, size)

    def context(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Projects the embeddings to the weaver's hidden size."""
        projected: torch.Tensor = self.reasoner_to_weaver(embeddings)
        return projected

    def adapted_tokens(self, is_query_BQ: torch.Tensor) -> None:
        """Returns None: LoRA is applied to all positions."""

    def read_stream(self, reasoner: Decoder, weaving: Weaving, steps: int, checkpointing: bool) -> torch.Tensor:
        """Weaves all blocks step by step with the weaver's decoder, then runs the reasoner once over the streams."""
        plan = weaving.plan
        past: KeyValues | None = None
        past_real_BP = plan.mask_BL[:, :0]
        for step in range(steps):
            items = weaving.items(step)
            queries = weaving.queries(step, self.queries_of)
            context = self.context(items.x_BSD)
            count = context.shape[1]
            real_BQ = torch.cat([items.real_BS, queries.real_BK], 1)
            hidden, new = run_decoder(
                self.decoder,
                torch.cat([context, queries.queries_BKH.to(context.dtype)], 1),
                torch.cat([items.position_BS, queries.position_BK], 1),
                causal_mask(torch.cat([past_real_BP, real_BQ], 1), real_BQ.shape[1]),
                past,
                [AdapterUse(self.adapter)],
                checkpointing,
            )
            past, past_real_BP = append_first(past, new, count), torch.cat([past_real_BP, items.real_BS], 1)
            weaving.take_latents(self.latents(hidden[:, count:]))
        weaving.items(steps)  # fills in the latents of the last block
        mask = causal_mask(plan.mask_BL, plan.mask_BL.shape[1])
        hidden, _ = run_decoder(reasoner, weaving.inputs_BLD, plan.position_BL, mask, checkpointing=checkpointing)
        return hidden
