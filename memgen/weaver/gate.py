"""The gate: how logits become decisions. The SGLang class computes the same rows in place.

The trigger is one more vocabulary entry: sampling the first id of a block is the decision to insert it. On a row where
the trigger is asked, with reasoner logits l over the text ids, trigger logit z = logit(insert) - logit(skip) and
sampling temperature T, the row becomes

    l - T·logsumexp(l / T),   with z at the block's first id        (T → 0: l - max l)

so that after division by T, P(insert) = sigmoid(z / T) and every text id has exactly (1 - P)·softmax(l / T). Greedy
decoding is the rule z > 0. Every other reserved id has ``MASKED``; where the next id is forced, every id but it has.

Shapes: N rows, V vocabulary.
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
    """Turns the reasoner's logits into the policy's. Works in place on ``logits_NV``, which autograd allows.

    Args:
        logits_NV: output of the reasoner's head; give a copy where the original is needed.
        trigger_N: z; read where asked, in mode ``learned``.
        asked_N: first id of the block that may follow, 0 where the trigger is not asked.
        forced_N: the only id that may follow, 0 where any may.
        reserved: the reserved ids.
        mode: one of ``MODES``: ``always`` forces the block wherever the trigger is asked, ``never`` inserts none.
        temperature: what the sampler or the trainer will divide the result by; 0 for greedy decoding.

    Returns:
        Gated logits (N, V), in the dtype of ``logits_NV``.
    """
    logits_NV[:, list(reserved.all)] = MASKED
    rows = (asked_N > 0).nonzero().squeeze(1)
    if mode == "always":
        forced_N = torch.where(asked_N > 0, asked_N, forced_N)
    elif mode == "learned" and len(rows):
        # Normalised rows keep z itself at the block's id, which half precision could not add to a large logsumexp.
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
