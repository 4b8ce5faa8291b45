"""The steps in which a batch of streams is computed when its blocks are known.

Step s holds, in every row, the items after block s - 1 began. It ends with the queries of block s, whose last hidden
states become that block's latents. So every position is computed once, plus K queries a block, and gradients flow from
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
    """Items of a step: their columns (B, S), which are real (B, S), positions (B, S), and embeddings (B, S, D)."""

    column_BS: torch.Tensor
    real_BS: torch.Tensor
    position_BS: torch.Tensor
    x_BSD: torch.Tensor


class Queries(NamedTuple):
    """Queries of a step (B, K, H), which are real (B, K), and their positions (B, K)."""

    queries_BKH: torch.Tensor
    real_BK: torch.Tensor
    position_BK: torch.Tensor


class Weaving:
    """The steps of one batch: what all weavers do alike.

    Attributes:
        plan: the streams.
        inputs_BLD: input embeddings of the streams; a block's columns are filled in when its step is read.
        anchor: zero, and in the graph of every weave, so that backward runs the same layers on every rank.
    """

    def __init__(self, plan: StreamPlan, embeddings_BLD: torch.Tensor) -> None:
        self.plan = plan
        self.inputs_BLD = embeddings_BLD
        self.anchor = embeddings_BLD.new_zeros(())
        self._latents_BKD: torch.Tensor | None = None

    def items(self, step: int) -> Items:
        """Returns a step's items, the latents that the step before wove among them."""
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
        """Returns the queries of block ``step`` of each row.

        Args:
            step: the step.
            queries_of: the weaver's queries for kinds of blocks (B,), 0 for a row without one.
        """
        plan = self.plan
        first_B1 = (plan.starts_BL & (plan.step_BL == step + 1)).long().argmax(1, keepdim=True)
        kind_B = torch.where(plan.blocks_B > step, plan.kind_BL.gather(1, first_B1).squeeze(1), 0)
        queries_BKH, real_BK = queries_of(kind_B)
        position_BK = plan.position_BL.gather(1, first_B1) + torch.arange(real_BK.shape[1], device=real_BK.device)
        return Queries(queries_BKH, real_BK, position_BK * real_BK)

    def take_latents(self, latents_BKD: torch.Tensor) -> None:
        """Keeps the latents of a step's block for the next step."""
        self._latents_BKD = latents_BKD
        self.anchor = self.anchor + latents_BKD.sum() * 0.0
