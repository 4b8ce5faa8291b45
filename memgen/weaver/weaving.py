"""The steps of the training forward pass over streams whose blocks are known.

The blocks of a row are numbered from 0. Step s consists of the items from the start of block s - 1 up to the start of
block s; step 0 starts at the beginning of the row. The step ends with the queries of block s. Their last hidden states
become the latents of that block. So every position is computed once, plus K queries per block, and gradients flow from
a token through the latents before it into the weaver.

Shapes: B rows, L columns, S items of a step, K latents of a block, D hidden size of the reasoner, H of the weaver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from memgen.weaver.columns import columns_of, put, take
from memgen.weaver.stream import StreamPlan


class Items(NamedTuple):
    """The items of a step.

    Attributes:
        column_BS: columns of the items in the batch.
        real_BS: True for real items.
        position_BS: position ids of the items.
        x_BSD: input embeddings of the items.
    """

    column_BS: torch.Tensor
    real_BS: torch.Tensor
    position_BS: torch.Tensor
    x_BSD: torch.Tensor


class Queries(NamedTuple):
    """The queries of a step.

    Attributes:
        queries_BKH: the queries.
        real_BK: True for real queries.
        position_BK: position ids of the queries.
    """

    queries_BKH: torch.Tensor
    real_BK: torch.Tensor
    position_BK: torch.Tensor


class Weaving:
    """The steps of one batch. This part is the same for all weavers.

    Attributes:
        plan: the plan of the streams.
        inputs_BLD: input embeddings of the streams. :meth:`items` fills in the latents of a block.
        anchor: a zero that depends on the latents of every weave. Added to the output, it makes the backward pass run
            the same layers on every rank.
    """

    def __init__(self, plan: StreamPlan, embeddings_BLD: torch.Tensor) -> None:
        self.plan = plan
        self.inputs_BLD = embeddings_BLD
        self.anchor = embeddings_BLD.new_zeros(())
        self._latents_BKD: torch.Tensor | None = None

    def items(self, step: int) -> Items:
        """Returns the items of a step, including the latents that the previous step wove."""
        plan = self.plan
        column_BS, real_BS = columns_of(plan.mask_BL & (plan.step_BL == step))
        x_BSD = take(self.inputs_BLD, column_BS)
        if self._latents_BKD is not None:
            is_latent_BS = real_BS & (take(plan.kind_BL, column_BS) > 0)
            offset_BS = take(plan.offset_BL, column_BS).clamp(max=self._latents_BKD.shape[1] - 1)
            x_BSD = torch.where(is_latent_BS[..., None], take(self._latents_BKD, offset_BS).to(x_BSD.dtype), x_BSD)
            self.inputs_BLD = put(self.inputs_BLD, column_BS, x_BSD)
        return Items(column_BS, real_BS, take(plan.position_BL, column_BS) * real_BS, x_BSD)

    def queries(self, step: int, queries_of: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]) -> Queries:
        """Returns the queries of block number ``step`` in each row.

        Args:
            step: index of the step and of the block that it weaves.
            queries_of: the weaver's :meth:`~memgen.weaver.weavers.MemGenWeaver.queries_of`.
        """
        plan = self.plan
        first_B1 = (plan.starts_BL & (plan.step_BL == step + 1)).long().argmax(1, keepdim=True)
        kind_B = torch.where(plan.blocks_B > step, plan.kind_BL.gather(1, first_B1).squeeze(1), 0)
        queries_BKH, real_BK = queries_of(kind_B)
        position_BK = plan.position_BL.gather(1, first_B1) + torch.arange(real_BK.shape[1], device=real_BK.device)
        return Queries(queries_BKH, real_BK, position_BK * real_BK)

    def take_latents(self, latents_BKD: torch.Tensor) -> None:
        """Stores the latents of the step's block for the next step."""
        self._latents_BKD = latents_BKD
        self.anchor = self.anchor + latents_BKD.sum() * 0.0
