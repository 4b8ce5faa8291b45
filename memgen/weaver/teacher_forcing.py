"""The training forward pass: hidden states of whole streams, with gradients through the caches."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor

from memgen.base.decoder import Decoder
from memgen.weaver.stream import StreamPlan
from memgen.weaver.weavers import MemGenWeaver
from memgen.weaver.weaving import Weaving


def agreed_steps(model: nn.Module, steps: int) -> int:
    """Returns the maximum of ``steps`` over all ranks if the model is sharded, else ``steps``.

    FSDP2 gathers a layer's weights each time the layer runs, so all ranks must run it the same number of times.
    Otherwise they deadlock.
    """
    sharded = next((parameter for parameter in model.parameters() if isinstance(parameter, DTensor)), None)
    if sharded is None:
        return steps
    most = torch.tensor(steps, device=sharded.device_mesh.device_type)
    for dimension in range(sharded.device_mesh.ndim):
        dist.all_reduce(most, op=dist.ReduceOp.MAX, group=sharded.device_mesh.get_group(dimension))
    return int(most)


def stream_hidden(
    reasoner: Decoder, weaver: MemGenWeaver, plan: StreamPlan, steps: int, checkpointing: bool
) -> torch.Tensor:
    """Runs the reasoner over the streams of a plan and weaves their blocks.

    Args:
        reasoner: the reasoner's decoder.
        weaver: the weaver.
        plan: the plan of the streams.
        steps: number of weaves to run, at least ``plan.steps``. Extra weaves have no block in any row and do not change
            the result.
        checkpointing: whether to recompute each layer in the backward pass.

    Returns:
        Last hidden states of the reasoner (B, L, D). Values at padding are finite and meaningless.
    """
    weaving = Weaving(plan, reasoner.embed_tokens(plan.ids_BL))
    hidden_BLD = weaver.read_stream(reasoner, weaving, steps, checkpointing)
    return hidden_BLD + weaving.anchor.to(hidden_BLD.dtype)
