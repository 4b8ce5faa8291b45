"""The model of the tiny policy: a two-layer Qwen3 whose initial weights make copying easy to learn.

To copy, a model needs attention that finds a token, and heads that pass the token on. A small model learns the first
within a minute only if it does not have to learn the second. So each head starts by passing on what it attends to: its
output projection is the transpose of its value projection, which is the idea of mimetic initialisation (Trockman and
Kolter 2023, arXiv:2305.09828). The embeddings of the memory ids start with a common part, so that attention to any id
is attention to one direction.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from memupdate.policy.settings import PolicySettings
from memupdate.policy.tokenizer import MEMORY_IDS

ID_SHARE = 1.5
COMMON_SHARE = 1.0
OWN_SHARE = 0.2
WRITTEN = 1.5
QUIET = 0.05
FAST, SLOW = 0.25, 2e-3
SHARP_POSITION, SHARP_CONTENT = 3.0, 1.5
COPIED, COPIED_ONE = 4.0, 1.0


def new_model(settings: PolicySettings, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Returns the untrained model, in float32. The same settings and tokenizer always give the same weights."""
    deviation = settings.hidden_size**-0.5
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        head_dim=settings.head_dim,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        initializer_range=deviation,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        make: Callable[[Qwen3Config], Qwen3ForCausalLM] = Qwen3ForCausalLM  # its __init__ has no types
        model = torch.nn.Module.float(make(config))
        with torch.no_grad():
            _pass_on_attended(model, settings)
            _relate_ids(model, tokenizer, deviation)
            if settings.layers >= 2 and settings.heads >= 2:
                _continue_copies(model, settings)
    return model


def _pass_on_attended(model: Qwen3ForCausalLM, settings: PolicySettings) -> None:
    """Sets the value and output projections of every head to P and its transpose, where P has orthonormal rows."""
    for layer in model.model.layers:
        attention = layer.self_attn
        for head in range(settings.heads):
            rows = slice(head * settings.head_dim, (head + 1) * settings.head_dim)
            basis_DH = torch.linalg.qr(torch.randn(settings.hidden_size, settings.head_dim))[0]
            attention.v_proj.weight[rows] = settings.copy_gain**0.5 * basis_DH.T
            attention.o_proj.weight[:, rows] = settings.copy_gain**0.5 * basis_DH


def _relate_ids(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, deviation: float) -> None:
    ids = tokenizer.convert_tokens_to_ids(list(MEMORY_IDS))
    embedding_VD = model.model.embed_tokens.weight
    embedding_VD[ids] += ID_SHARE * deviation * torch.randn(embedding_VD.shape[1])


def _continue_copies(model: Qwen3ForCausalLM, settings: PolicySettings) -> None:
    """Makes the first two layers an induction circuit: what followed the last two tokens before follows them again.

    The residual stream begins as three subspaces: the token, the one before it, and the one before that. Two heads of
    the first layer fill the second and the third. A head of the second layer compares the token and the one before it
    with the two tokens before each position, and passes on what stands there.
    """
    width, size = settings.hidden_size, settings.head_dim
    frequencies = settings.rope_theta ** (-torch.arange(size // 2) / (size // 2))
    rank = min(size, (width - 1) // 3)
    common_D1, *tokens = torch.linalg.qr(torch.randn(width, 1 + 3 * rank))[0].split([1, rank, rank, rank], dim=1)
    common_D = common_D1[:, 0]
    embedding_VD = model.model.embed_tokens.weight
    for earlier_DR in tokens[1:]:
        embedding_VD -= (1 - OWN_SHARE) * embedding_VD @ earlier_DR @ earlier_DR.T
    embedding_VD += (COMMON_SHARE - embedding_VD @ common_D)[:, None] * common_D

    first, second = (model.model.layers[place].self_attn for place in range(2))
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight *= QUIET
        layer.mlp.down_proj.weight *= QUIET
    # Queries and keys of the first layer are constant; the rotation by the distance tells positions apart.
    fast = frequencies > FAST
    for weight in (first.q_norm.weight, first.k_norm.weight):
        weight[fast.repeat(2)] = SHARP_POSITION
    for distance in (1, 2):
        rows = slice((distance - 1) * size, distance * size)
        turned = [torch.cos(distance * frequencies) * fast, -torch.sin(distance * frequencies) * fast]
        first.q_proj.weight[rows] = torch.cat(turned)[:, None] * common_D
        first.k_proj.weight[rows] = torch.cat([fast, torch.zeros_like(fast)])[:, None] * common_D
        first.v_proj.weight[rows] = torch.nn.functional.pad(tokens[0], (0, size - rank)).T
        first.o_proj.weight[:, rows] = WRITTEN * width**-0.5 * torch.nn.functional.pad(tokens[distance], (0, size - rank))

    # Content is compared in dimensions that hardly rotate over a whole trajectory.
    slow = (frequencies < SLOW).repeat(2)
    for weight in (second.q_norm.weight, second.k_norm.weight):
        weight[slow] = SHARP_CONTENT
    for head in range(2):
        rows = slice(head * size, (head + 1) * size)
        newer_HR, older_HR = (torch.randn(size, rank) * slow[:, None] * rank**-0.5 for _ in range(2))
        if head:
            older_HR *= 0
        second.q_proj.weight[rows] = newer_HR @ tokens[0].T + older_HR @ tokens[1].T
        second.k_proj.weight[rows] = newer_HR @ tokens[1].T + older_HR @ tokens[2].T
        passed = torch.nn.functional.pad(tokens[0], (0, size - rank))
        second.v_proj.weight[rows] = passed.T
        second.o_proj.weight[:, rows] = (COPIED if not head else COPIED_ONE) * passed
