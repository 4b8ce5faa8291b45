"""The trigger: decides, after a delimiter, whether a block is inserted.

Shapes: B rows, L columns, S text items, D hidden size of the reasoner, H of the trigger.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import nn

from memgen.base.adapters import AdapterUse
from memgen.base.decoder import Decoder, causal_mask, run_decoder
from memgen.weaver.columns import columns_of, put, take
from memgen.weaver.stream import StreamPlan


class MemGenTrigger(nn.Module, ABC):
    """A linear layer of two logits, skip and insert, over a hidden state.

    Attributes:
        adapter: name of the LoRA adapter that it reads with, or None.
        has_cache: whether it reads the text into a cache of its own.
        may_own_decoder: whether it can have another base model than the reasoner.
    """

    adapter: ClassVar[str | None]
    has_cache: ClassVar[bool]
    may_own_decoder: ClassVar[bool]

    def __init__(self, reasoner_decoder: Decoder, own_decoder: Decoder | None) -> None:
        super().__init__()
        self.own_decoder = own_decoder
        # In a tuple, so that the reasoner's weights are not registered here again.
        self._borrowed = (reasoner_decoder,)
        self.output_layer = nn.Linear(int(self.decoder.config.hidden_size), 2)

    @property
    def decoder(self) -> Decoder:
        """The decoder whose states are read: its own, or the reasoner's."""
        return self._borrowed[0] if self.own_decoder is None else self.own_decoder

    def logit(self, hidden: torch.Tensor) -> torch.Tensor:
        """Returns z = logit(insert) - logit(skip), (...), from last hidden states (..., H)."""
        logits = self.output_layer(hidden)
        z: torch.Tensor = logits[..., 1] - logits[..., 0]
        return z

    @abstractmethod
    def stream_logits(self, plan: StreamPlan, hidden_BLD: torch.Tensor, checkpointing: bool) -> torch.Tensor:
        """Returns z (B, L) at every text position of known streams.

        Args:
            plan: the streams.
            hidden_BLD: last hidden states of the reasoner.
            checkpointing: recompute each layer in the backward pass.
        """


class PaperTrigger(MemGenTrigger):
    """MemGen's trigger as published: a model with LoRA that reads the text and never a latent."""

    adapter: ClassVar[str | None] = "trigger"
    has_cache: ClassVar[bool] = True
    may_own_decoder: ClassVar[bool] = True

    def stream_logits(self, plan: StreamPlan, hidden_BLD: torch.Tensor, checkpointing: bool) -> torch.Tensor:
        """Runs one pass over the text alone."""
        assert self.adapter is not None
        column_BS, real_BS = columns_of(plan.is_text_BL)
        hidden, _ = run_decoder(
            self.decoder,
            self.decoder.embed_tokens(take(plan.ids_BL, column_BS)),
            take(plan.text_position_BL, column_BS) * real_BS,
            causal_mask(real_BS, real_BS.shape[1]),
            adapters=[AdapterUse(self.adapter)],
            checkpointing=checkpointing,
        )
        z_BS1 = self.logit(hidden)[..., None]
        return put(z_BS1.new_zeros(*plan.ids_BL.shape, 1), column_BS, z_BS1).squeeze(-1)


class HeadTrigger(MemGenTrigger):
    """Reads the reasoner's last hidden state at the delimiter, which costs next to nothing.

    The state is detached, so that decisions do not train the weaver.
    """

    adapter: ClassVar[str | None] = None
    has_cache: ClassVar[bool] = False
    may_own_decoder: ClassVar[bool] = False

    def logit(self, hidden: torch.Tensor) -> torch.Tensor:
        """See :meth:`MemGenTrigger.logit`."""
        return super().logit(hidden.detach())

    def stream_logits(self, plan: StreamPlan, hidden_BLD: torch.Tensor, checkpointing: bool) -> torch.Tensor:
        """Reads the reasoner's states."""
        return self.logit(hidden_BLD)
