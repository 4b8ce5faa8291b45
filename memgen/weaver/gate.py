"""The gate: adds the trigger's decision to the reasoner's logits. The SGLang class computes the same values.

The trigger's decision is one more entry of the vocabulary: to sample the first id of a block is to insert the block.
For a row where the trigger is asked, let l be the reasoner's logits over the text ids, z = logit(insert) - logit(skip)
the trigger logit, and T the sampling temperature. The row becomes

    l - T·logsumexp(l / T),   with z at the block's first id        (T → 0: l - max l)

After division by T, P(insert) = sigmoid(z / T), and every text id has exactly the probability (1 - P)·softmax(l / T).
Greedy decoding inserts a block if z > 0. All other reserved ids have the logit ``MASKED``. If the next id is forced,
all ids except that one have the logit ``MASKED``.

Shapes: N rows, V vocabulary size.
"""

from __future__ import annotations

import torch

from memgen.base.sampling import MASKED, at_least_fp32
from memgen.weaver.stream import ReservedIds

MODES = ("learned", "always", "never")


def gate_logits(
    logits_NV: torch.Tensor,
    trigger_N: torch.Tensor,
    asked_N: torch.Tensor,
    forced_N: torch.Tensor,
    reserved: ReservedIds,
    mode: str,
    temperature: float,
) -> torch.Tensor:
    """Turns the reasoner's logits into the policy's logits, in place. Autograd supports the in-place change.

    Args:
        logits_NV: output of the reasoner's head. Pass a copy if you still need the original.
        trigger_N: the trigger logit z. It is used only in mode ``learned`` and in rows where the trigger is asked.
        asked_N: first id of the block that may follow, or 0 if the trigger is not asked.
        forced_N: the only id that may follow, or 0 if none is forced.
        reserved: the reserved ids.
        mode: one of ``MODES``. ``always`` forces the block wherever the trigger is asked. ``never`` inserts no blocks.
        temperature: temperature by which the sampler or the trainer will divide the result; 0 for greedy decoding.

    Returns:
        Gated logits (N, V), in the dtype of ``logits_NV``.
    """
    logits_NV[:, list(reserved.all)] = MASKED
    rows = (asked_N > 0).nonzero().squeeze(1)
    if mode == "always":
        forced_N = torch.where(asked_N > 0, asked_N, forced_N)
    elif mode == "learned" and len(rows):
        # The row is normalised so that the block's id can have the logit z itself. Adding z to a large logsumexp
        # instead would lose z in half precision.
        reasoner_RV = at_least_fp32(logits_NV[rows])
        if temperature == 0:
            norm_R1 = reasoner_RV.amax(-1, keepdim=True)
        else:
            norm_R1 = temperature * torch.logsumexp(reasoner_RV / temperature, -1, keepdim=True)
        gated_RV = (reasoner_RV - norm_R1).scatter(1, asked_N[rows, None], trigger_N[rows, None].to(reasoner_RV.dtype))
        logits_NV[rows] = gated_RV.to(logits_NV.dtype)
    rows = (forced_N > 0).nonzero().squeeze(1)
    if len(rows):
        logits_NV[rows] = MASKED
        logits_NV[rows, forced_N[rows]] = 0.0
    return logits_NV
