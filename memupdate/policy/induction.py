"""An induction circuit as initial weights: what followed the last tokens before, follows them again.

Induction heads (Olsson et al. 2022, arXiv:2209.11895) are how transformers copy. They need two layers that agree, which
is why small models find them late. Here they are made: the residual stream begins as three subspaces, which hold a
token, the token before it, and a mean of the last few tokens. Two heads of the first layer fill the second and the
third subspace. Two heads of the second layer look for positions behind the token that was written last, one of them
with regard to the tokens before it as well, and pass on what stands there. Where a line repeats words of another, the
mean tells the lines apart. Training changes all of these weights like any others.

Shapes: D is the width of the residual stream, H of a head, R of a subspace.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad
from transformers import Qwen3ForCausalLM

from memupdate.policy.settings import PolicySettings

# Of the embeddings: the part that all tokens have in common, and what is left of the parts in the second and the third
# subspace, where they would hide what the heads write.
COMMON = 1.0
LEFT = 0.2
# How strongly the first layer writes, and the heads of the second layer pass on what they find.
WRITTEN = 1.5
PASSED = (4.0, 1.0)
# How far back the middle of the last few tokens is, the rotary frequencies that tell where it ends, and how sharply.
MIDDLE = 3
NEAR = (0.15, 0.45)
BLUNT = 1 / 8
# How much the mean counts beside the token, which is longer.
CONTEXT = 0.7
# Rotary frequencies (radians per token) that tell neighbours apart, and those that hardly turn over a trajectory.
FAST, SLOW = 0.25, 2e-3
# Weights of the norms of queries and keys: how sharp attention to a position is, and to a content.
SHARP_POSITION, SHARP_CONTENT = 3.0, 2.0


def make_induction_heads(model: Qwen3ForCausalLM, settings: PolicySettings) -> None:
    """Sets the embeddings and the first two heads of the first two layers. Uses torch's random numbers."""
    width, size = settings.hidden_size, settings.head_dim
    rank = min(size, (width - 1) // 3)
    common_D1, *tokens = torch.linalg.qr(torch.randn(width, 1 + 3 * rank))[0].split([1, rank, rank, rank], dim=1)
    embedding_VD = model.model.embed_tokens.weight
    for earlier_DR in tokens[1:]:
        embedding_VD -= (1 - LEFT) * embedding_VD @ earlier_DR @ earlier_DR.T
    embedding_VD += (COMMON - embedding_VD @ common_D1) * common_D1.T
    frequencies = settings.rope_theta ** (-torch.arange(size // 2) / (size // 2))
    _look_back(model, frequencies, common_D1, [pad(token_DR, (0, size - rank)) for token_DR in tokens])
    _find_again(model, frequencies, [pad(token_DR, (0, size - rank)) for token_DR in tokens])


def _look_back(
    model: Qwen3ForCausalLM, frequencies: torch.Tensor, common_D1: torch.Tensor, tokens: list[torch.Tensor]
) -> None:
    """Lets the first layer write the token before, and a mean of the last few: to ``tokens[1]`` and ``tokens[2]``.

    Queries and keys are the same everywhere. Only the rotation tells positions apart: it is largest at one distance.
    """
    attention = model.model.layers[0].self_attn
    width, size = tokens[0].shape
    fast = frequencies > FAST
    near = (frequencies > NEAR[0]) & (frequencies < NEAR[1])
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight[(fast | near).repeat(2)] = SHARP_POSITION
    for head, (told_by, distance) in enumerate(((fast, 1), (near, MIDDLE))):
        rows, turn = slice(head * size, (head + 1) * size), distance * frequencies
        query_H = torch.cat([torch.cos(turn) * told_by, -torch.sin(turn) * told_by])
        key_H = torch.cat([told_by, torch.zeros_like(told_by)]).float()
        if head == 1:  # most of the query lies where the key has nothing
            query_H[size // 2 - 1] = query_H.norm() / BLUNT
        attention.q_proj.weight[rows] = query_H[:, None] * common_D1.T
        attention.k_proj.weight[rows] = key_H[:, None] * common_D1.T
        attention.v_proj.weight[rows] = tokens[0].T
        attention.o_proj.weight[:, rows] = WRITTEN * width**-0.5 * tokens[head + 1]


def _find_again(model: Qwen3ForCausalLM, frequencies: torch.Tensor, tokens: list[torch.Tensor]) -> None:
    """Lets the second layer look for the last token before each position, and pass on what stands there."""
    attention = model.model.layers[1].self_attn
    size = tokens[0].shape[1]
    slow = (frequencies < SLOW).repeat(2)
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight[slow] = SHARP_CONTENT
    for head, passed in enumerate(PASSED):
        rows = slice(head * size, (head + 1) * size)
        newer_HH, older_HH = (torch.randn(size, size) * slow[:, None] * size**-0.5 for _ in range(2))
        attention.q_proj.weight[rows] = newer_HH @ tokens[0].T
        attention.k_proj.weight[rows] = newer_HH @ tokens[1].T
        if head == 0:
            attention.q_proj.weight[rows] += CONTEXT * older_HH @ tokens[2].T
            attention.k_proj.weight[rows] += CONTEXT * older_HH @ tokens[2].T
        attention.v_proj.weight[rows] = tokens[0].T
        attention.o_proj.weight[:, rows] = passed * tokens[0]
