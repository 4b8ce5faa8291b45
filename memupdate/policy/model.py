"""The tiny policy's weights: a two-layer Qwen3 that starts with the machinery of copying in place.

To call tools on what it sees, a policy must copy: the question into a query, ids from an answer into a call. A
transformer does that with two heads in a row (Olsson et al. 2022, arXiv:2209.11895): one tells every position which
token stood before it, the next finds the position whose predecessor is the current token, and passes that position's
token on. From random weights a model of this size finds them after some ten million tokens; that is more than a laptop
reads in a quarter of an hour. So they are there from the start, as plain initial values that training is free to
change, and the warm start needs a million tokens to learn the rest: which tools there are, how calls are written, and
when to copy what.

- Layer 0, head 0 attends to the previous token: constant query and key, their rotary phases one position apart in the
  fast pairs. It writes that token into dimensions of its own.
- Layer 1, head 0 matches the current token with those dimensions, over the pairs that rotary positions hardly turn.
- Layer 1, head 1 attends to memory ids, which begin with a direction in common.
- Every head passes on what it attends to: its output projection is the transpose of its value projection (cf. mimetic
  initialisation, Trockman & Kolter 2023, arXiv:2305.09828). Other writers to the residual stream start small.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from memupdate.policy.settings import PolicySettings
from memupdate.policy.tokenizer import MEMORY_IDS

# Lengths of what all tokens, and all ids, have in common; a token's own part has length 1.
TOKEN_SHARE = 0.6
ID_SHARE = 1.5
# Gains of value times output projection.
PREVIOUS_GAIN = 0.3
COPY_GAIN = 1.0
ID_GAIN = 0.3
IDLE_GAIN = 0.03
# Norm weights of queries and keys: how sharply a layer attends.
SHARPNESS = (1.6, 2.0)
NOISE = 0.02
# Rotary pairs: the first ones turn by a radian to a twentieth of one per token, those from SLOW_PAIR on by at most
# 1e-3 (with theta 1e6 and 32 pairs).
FAST_PAIRS = 10
SLOW_PAIR = 16
ID_PAIRS = 8


def new_model(settings: PolicySettings, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """The untrained model, fp32; the same weights for the same settings and tokenizer."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=len(SHARPNESS),
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        head_dim=settings.head_dim,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rope_theta},
        initializer_range=settings.hidden_size**-0.5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(settings.seed)
        model = Qwen3ForCausalLM(config).float()
        _Wiring(model, settings).apply(tokenizer.convert_tokens_to_ids(list(MEMORY_IDS)))
    return model


class _Wiring:
    """Sets the initial values. D is the model's width, H a head's; bases have orthonormal columns."""

    def __init__(self, model: Qwen3ForCausalLM, settings: PolicySettings) -> None:
        self.model: Any = model
        self.width, self.head_dim, self.heads = settings.hidden_size, settings.head_dim, settings.heads
        self.pairs = self.head_dim // 2
        self.angles = settings.rope_theta ** (-torch.arange(self.pairs) / self.pairs)
        basis_DD = torch.linalg.qr(torch.randn(self.width, self.width))[0]
        part = min(self.head_dim, (self.width - 2) // 2)
        self.token_D, self.id_D = basis_DD[:, 0], basis_DD[:, 1]
        # What a previous token is read from, and where it is written to.
        self.read_DP, self.write_DP = basis_DD[:, 2 : 2 + part], basis_DD[:, 2 + part : 2 + 2 * part]

    def apply(self, ids: Any) -> None:
        embedding_VD = self.model.get_input_embeddings().weight
        embedding_VD += TOKEN_SHARE * self.token_D
        embedding_VD[ids] += ID_SHARE * self.id_D
        for layer, sharpness in zip(self.model.model.layers, SHARPNESS, strict=True):
            layer.mlp.down_proj.weight *= IDLE_GAIN
            layer.self_attn.q_norm.weight.fill_(sharpness)
            layer.self_attn.k_norm.weight.fill_(sharpness)
            for head in range(self.heads):
                self._pass_on(layer, head, gain=IDLE_GAIN)
        first, second = self.model.model.layers
        self._attend_to_previous(first, head=0)
        self._attend_to_repetition(second, head=0)
        self._attend_to_ids(second, head=1)

    def _attend_to_previous(self, layer: Any, head: int) -> None:
        query_HD, key_HD = self._blank(layer, head)
        for pair in range(FAST_PAIRS):
            # A key that is turned ahead by one position's angle is in phase with the next position's query.
            query_HD[pair] += self.token_D
            key_HD[pair] += torch.cos(self.angles[pair]) * self.token_D
            key_HD[self.pairs + pair] += torch.sin(self.angles[pair]) * self.token_D
        self._pass_on(layer, head, gain=PREVIOUS_GAIN, bases=(self.read_DP, self.write_DP))

    def _attend_to_repetition(self, layer: Any, head: int) -> None:
        query_HD, key_HD = self._blank(layer, head)
        count = self.pairs - SLOW_PAIR
        for offset, columns in ((SLOW_PAIR, slice(0, count)), (self.pairs + SLOW_PAIR, slice(count, 2 * count))):
            query_HD[offset : offset + count] += self.read_DP[:, columns].T
            key_HD[offset : offset + count] += self.write_DP[:, columns].T
        self._pass_on(layer, head, gain=COPY_GAIN)

    def _attend_to_ids(self, layer: Any, head: int) -> None:
        query_HD, key_HD = self._blank(layer, head)
        ids, others = slice(SLOW_PAIR, SLOW_PAIR + ID_PAIRS), slice(SLOW_PAIR + ID_PAIRS, self.pairs)
        query_HD[ids] += self.token_D
        key_HD[ids] += self.id_D
        # Keys are normalised: those of other tokens need a direction of their own, or chance would point them here.
        key_HD[others] += self.token_D
        self._pass_on(layer, head, gain=ID_GAIN)

    def _rows(self, head: int) -> slice:
        return slice(head * self.head_dim, (head + 1) * self.head_dim)

    def _blank(self, layer: Any, head: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A head's query and key projections, as views, with little but noise in them."""
        rows = self._rows(head)
        query_HD, key_HD = layer.self_attn.q_proj.weight[rows], layer.self_attn.k_proj.weight[rows]
        query_HD.normal_(0, NOISE)
        key_HD.normal_(0, NOISE)
        return query_HD, key_HD

    def _pass_on(
        self, layer: Any, head: int, gain: float, bases: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> None:
        """A head reads along one basis and writes along another; along one random basis if none is given."""
        read_DP, write_DP = bases or (self._random_basis(),) * 2
        rows, part = self._rows(head), read_DP.shape[1]
        value_HD, output_DH = layer.self_attn.v_proj.weight[rows], layer.self_attn.o_proj.weight[:, rows]
        value_HD.zero_()
        output_DH.zero_()
        value_HD[:part] = gain**0.5 * read_DP.T
        output_DH[:, :part] = gain**0.5 * write_DP

    def _random_basis(self) -> torch.Tensor:
        return torch.linalg.qr(torch.randn(self.width, self.head_dim))[0]
