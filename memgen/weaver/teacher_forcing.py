"""The training forward: hidden states and trigger logits of whole streams, with gradients through the caches.

A batch is computed in steps. Step s holds, in every row, the items after block s - 1 began; it ends with the queries of
block s, whose last hidden states become that block's latents. So every position is computed once, plus K queries a
block, and gradients flow from a token through the latents before it into the weaver.

Shapes: B rows, L columns, S items of a step, K latents of a block, D hidden size of the reasoner.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from memgen.base.adapters import AdapterUse
from memgen.base.decoder import Decoder, KeyValues, append_first, causal_mask, run_decoder
from memgen.weaver import triggers as trigger_module
from memgen.weaver import weavers as weaver_module
from memgen.weaver.stream import StreamPlan
from memgen.weaver.triggers import MemGenTrigger
from memgen.weaver.weavers import MemGenWeaver


def agreed_steps(model: nn.Module, steps: int) -> int:
    """``steps``, or the most of all ranks where the model is sharded.

    FSDP2 gathers a layer's weights each time the layer runs, so ranks that run it a different number of times deadlock.
    """
    sharded = next((parameter for parameter in model.parameters() if isinstance(parameter, DTensor)), None)
    if sharded is None:
        return steps
    most = torch.tensor(steps, device=sharded.device_mesh.device_type)
    for dimension in range(sharded.device_mesh.ndim):
        dist.all_reduce(most, op=dist.ReduceOp.MAX, group=sharded.device_mesh.get_group(dimension))
    return int(most)


def columns_of(selected_BL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The selected columns of each row, side by side.

    Returns:
        Column indices (B, S), S being the most of any row and at least 1, filled up with L; and which are real (B, S).
    """
    columns = selected_BL.shape[1]
    most = max(int(selected_BL.sum(1).max()), 1)
    index_BL = torch.arange(columns, device=selected_BL.device).expand_as(selected_BL)
    column_BS = torch.where(selected_BL, index_BL, columns).sort(1).values[:, :most]
    return column_BS, column_BS < columns


def take(values: torch.Tensor, column_BS: torch.Tensor) -> torch.Tensor:
    """Columns of (B, L) or (B, L, D); a column that is not real reads the last one, and nobody may use it."""
    column_BS = column_BS.clamp(max=values.shape[1] - 1)
    if values.dim() == 2:
        return values.gather(1, column_BS)
    return values.gather(1, column_BS[..., None].expand(-1, -1, values.shape[2]))


def put(values_BLD: torch.Tensor, column_BS: torch.Tensor, new_BSD: torch.Tensor) -> torch.Tensor:
    """``values_BLD`` with columns replaced; columns that are not real are dropped. Not in place."""
    rows, columns, size = values_BLD.shape
    row_B1 = torch.arange(rows, device=values_BLD.device)[:, None]
    spare = torch.cat([values_BLD, values_BLD.new_zeros(rows, 1, size)], 1)
    return spare.index_put((row_B1, column_BS), new_BSD.to(values_BLD.dtype))[:, :columns]


class _Weaving:
    """The steps of one batch: what both weavers do alike."""

    def __init__(self, weaver: MemGenWeaver, plan: StreamPlan, embeddings_BLD: torch.Tensor) -> None:
        self.weaver, self.plan = weaver, plan
        # Input embeddings of the stream; a block's columns are filled in by its weave.
        self.inputs_BLD = embeddings_BLD
        self.latents_BKD: torch.Tensor | None = None
        # Zero, and in the graph of every weave: so backward runs the same layers on every rank.
        self.anchor = embeddings_BLD.new_zeros(())

    def items(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Columns (B, S), which are real (B, S), and input embeddings (B, S, D) of a step's items."""
        column_BS, real_BS = columns_of(self.plan.mask_BL & (self.plan.step_BL == step))
        x_BSD = take(self.inputs_BLD, column_BS)
        if self.latents_BKD is not None:
            is_latent_BS = real_BS & (take(self.plan.kind_BL, column_BS) > 0)
            offset_BS = take(self.plan.offset_BL, column_BS).clamp(max=self.latents_BKD.shape[1] - 1)
            x_BSD = torch.where(is_latent_BS[..., None], take(self.latents_BKD, offset_BS).to(x_BSD.dtype), x_BSD)
            self.inputs_BLD = put(self.inputs_BLD, column_BS, x_BSD)
        return column_BS, real_BS, x_BSD

    def queries(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries (B, K, H) of block ``step`` of each row, which are real (B, K), and their positions (B, K)."""
        plan = self.plan
        first_B1 = (plan.starts_BL & (plan.step_BL == step + 1)).long().argmax(1, keepdim=True)
        kind_B = torch.where(plan.blocks_B > step, plan.kind_BL.gather(1, first_B1).squeeze(1), 0)
        queries_BKH, real_BK = self.weaver.queries_of(kind_B)
        position_BK = plan.position_BL.gather(1, first_B1) + torch.arange(real_BK.shape[1], device=real_BK.device)
        return queries_BKH, real_BK, position_BK * real_BK

    def take_latents(self, hidden_BKH: torch.Tensor) -> None:
        """The queries' last hidden states become the latents of the next step."""
        self.latents_BKD = self.weaver.latents(hidden_BKH)
        self.anchor = self.anchor + self.latents_BKD.sum() * 0.0


def stream_hidden(
    reasoner: Decoder, weaver: MemGenWeaver, plan: StreamPlan, steps: int, checkpointing: bool
) -> torch.Tensor:
    """Last hidden states of the reasoner over the streams of a plan.

    Args:
        reasoner: the reasoner's decoder.
        weaver: the weaver.
        plan: the streams.
        steps: weaves to run, at least ``plan.steps``; the rest have no row and change nothing.
        checkpointing: recompute each layer in the backward pass.

    Returns:
        (B, L, D); padding is finite and means nothing.
    """
    embeddings_BLD = reasoner.embed_tokens(plan.ids_BL)
    weaving = _Weaving(weaver, plan, embeddings_BLD)
    if weaver.kind == "shared":
        hidden_BLD = _shared(reasoner, weaving, steps, checkpointing)
    else:
        hidden_BLD = _paper(reasoner, weaving, steps, checkpointing)
    return hidden_BLD + weaving.anchor.to(hidden_BLD.dtype)


def _shared(reasoner: Decoder, weaving: _Weaving, steps: int, checkpointing: bool) -> torch.Tensor:
    """Each step's items and queries pass the reasoner together, LoRA on the queries alone."""
    plan = weaving.plan
    hidden_BLD = torch.zeros_like(weaving.inputs_BLD)
    past: KeyValues | None = None
    past_real_BP = plan.mask_BL[:, :0]
    for step in range(steps + 1):
        column_BS, real_BS, x_BSD = weaving.items(step)
        count = x_BSD.shape[1]
        position_BQ, real_BQ = take(plan.position_BL, column_BS) * real_BS, real_BS
        adapters: list[AdapterUse] = []
        if step < steps:
            queries_BKH, real_BK, position_BK = weaving.queries(step)
            x_BSD = torch.cat([x_BSD, queries_BKH.to(x_BSD.dtype)], 1)
            position_BQ, real_BQ = torch.cat([position_BQ, position_BK], 1), torch.cat([real_BQ, real_BK], 1)
            is_query_Q = torch.arange(real_BQ.shape[1], device=real_BQ.device) >= count
            tokens = (is_query_Q & real_BQ).reshape(-1).nonzero().squeeze(1)
            adapters = [AdapterUse(weaver_module.ADAPTER, tokens)]
        mask = causal_mask(torch.cat([past_real_BP, real_BQ], 1), real_BQ.shape[1])
        hidden, new = run_decoder(reasoner, x_BSD, position_BQ, mask, past, adapters, checkpointing)
        hidden_BLD = put(hidden_BLD, column_BS, hidden[:, :count])
        if step < steps:
            past, past_real_BP = append_first(past, new, count), torch.cat([past_real_BP, real_BS], 1)
            weaving.take_latents(hidden[:, count:])
    return hidden_BLD


def _paper(reasoner: Decoder, weaving: _Weaving, steps: int, checkpointing: bool) -> torch.Tensor:
    """The weaver's own model takes the steps; then the reasoner reads the filled stream at once."""
    plan, weaver = weaving.plan, weaving.weaver
    past: KeyValues | None = None
    past_real_BP = plan.mask_BL[:, :0]
    for step in range(steps):
        column_BS, real_BS, x_BSD = weaving.items(step)
        count = x_BSD.shape[1]
        queries_BKH, real_BK, position_BK = weaving.queries(step)
        context = weaver.context(x_BSD)
        real_BQ = torch.cat([real_BS, real_BK], 1)
        hidden, new = run_decoder(
            weaver.decoder,
            torch.cat([context, queries_BKH.to(context.dtype)], 1),
            torch.cat([take(plan.position_BL, column_BS) * real_BS, position_BK], 1),
            causal_mask(torch.cat([past_real_BP, real_BQ], 1), real_BQ.shape[1]),
            past,
            [AdapterUse(weaver_module.ADAPTER)],
            checkpointing,
        )
        past, past_real_BP = append_first(past, new, count), torch.cat([past_real_BP, real_BS], 1)
        weaving.take_latents(hidden[:, count:])
    weaving.items(steps)  # fills in the last block
    mask = causal_mask(plan.mask_BL, plan.mask_BL.shape[1])
    hidden, _ = run_decoder(reasoner, weaving.inputs_BLD, plan.position_BL, mask, checkpointing=checkpointing)
    return hidden


def trigger_logits(
    trigger: MemGenTrigger, plan: StreamPlan, hidden_BLD: torch.Tensor, checkpointing: bool
) -> torch.Tensor:
    """z at every text position (B, L): one pass over the text alone (``paper``), or from the reasoner's states."""
    if trigger.kind == "head":
        return trigger.logit(hidden_BLD)
    column_BS, real_BS = columns_of(plan.is_text_BL)
    x_BSD = trigger.decoder.embed_tokens(take(plan.ids_BL, column_BS))
    hidden, _ = run_decoder(
        trigger.decoder,
        x_BSD,
        take(plan.text_position_BL, column_BS) * real_BS,
        causal_mask(real_BS, real_BS.shape[1]),
        adapters=[AdapterUse(trigger_module.ADAPTER)],
        checkpointing=checkpointing,
    )
    z_BS1 = trigger.logit(hidden)[..., None]
    return put(z_BS1.new_zeros(*plan.ids_BL.shape, 1), column_BS, z_BS1).squeeze(-1)
