"""The model of the tiny policy: a two-layer Qwen3 whose initial weights copy.

A policy that writes notes copies words that it has never seen. A small model learns this late, so its initial weights
contain an induction circuit (``induction.py``). The heads outside of the circuit start by passing on what they attend
to, a little: their output projection is the transpose of their value projection, which is the idea of mimetic
initialisation (Trockman and Kolter 2023, arXiv:2305.09828). The embeddings of the memory ids start with a common part,
so that attention to any id is attention to one direction.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from memupdate.policy.induction import make_induction_heads
from memupdate.policy.settings import PolicySettings
from memupdate.policy.tokenizer import LINE_BREAK, MEMORY_IDS, as_bytes

ID_SHARE = 1.5
# The part of its random weights with which a feed-forward layer starts. The induction circuit reads the residual
# stream, and would not find its tokens under what random weights add.
QUIET = 0.05


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
            make_induction_heads(model, settings)
            _say_line_breaks(model, tokenizer)
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
        layer.mlp.down_proj.weight *= QUIET


def _relate_ids(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, deviation: float) -> None:
    ids = tokenizer.convert_tokens_to_ids(list(MEMORY_IDS))
    embedding_VD = model.model.embed_tokens.weight
    embedding_VD[ids] += ID_SHARE * deviation * torch.randn(embedding_VD.shape[1])


def _say_line_breaks(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Lets a line break inside of a call begin as the line break of the prompt, so that two lines are copied as one."""
    plain, escaped = (tokenizer.convert_tokens_to_ids(as_bytes(text)) for text in ("\n", LINE_BREAK))
    embedding_VD = model.model.embed_tokens.weight
    embedding_VD[escaped] = 0.8 * embedding_VD[plain] + 0.2 * embedding_VD[escaped]
