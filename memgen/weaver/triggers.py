"""The trigger: decides whether a block is inserted, at the end of the prompt or after a delimiter.

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
    """The base class of triggers: a linear layer maps a hidden state to two logits, skip and insert.

    Attributes:
        adapter: name of the trigger's LoRA adapter, or None.
        has_cache: whether the trigger reads the text into its own cache.
        may_own_decoder: whether the trigger can have a base model separate from the reasoner's.
    """

    adapter: ClassVar[str | None]
    has_cache: ClassVar[bool]
    may_own_decoder: ClassVar[bool]

    def __init__(self, reasoner_decoder: Decoder, own_decoder: Decoder | None) -> None:
        super().__init__()
        self.own_decoder = own_decoder
        # A tuple hides the decoder from nn.Module, so that the reasoner's weights are not registered twice.
        self._borrowed = (reasoner_decoder,)
        self.output_layer = nn.Linear(int(self.decoder.config.hidden_size), 2)

    @property
    def decoder(self) -> Decoder:
        """The decoder whose hidden states the trigger reads: a separate one if there is one, else the reasoner's."""
        return self._borrowed[0] if self.own_decoder is None else self.own_decoder

    def logit(self, hidden: torch.Tensor) -> torch.Tensor:
        """Returns the trigger logit z = logit(insert) - logit(skip), (...), for last hidden states (..., H)."""
        logits = self.output_layer(hidden)
        z: torch.Tensor = logits[..., 1] - logits[..., 0]
        return z

    @abstractmethod
    def stream_logits(self, plan: StreamPlan, hidden_BLD: torch.Tensor, checkpointing: bool) -> torch.Tensor:
        """Returns the trigger logits z (B, L) of known streams. They are meaningful at text positions only.

        Args:
            plan: the plan of the streams.
            hidden_BLD: last hidden states of the reasoner.
            checkpointing: whether to recompute each layer in the backward pass.
        """


class PaperTrigger(MemGenTrigger):
    """MemGen's trigger as published: a model with a LoRA adapter that reads only text, never latents."""

    adapter: ClassVar[str | None] = "trigger"
    has_cache: ClassVar[bool] = True
    may_own_decoder: ClassVar[bool] = True

    def stream_logits(self, plan: StreamPlan, hidden_BLD: torch.Tensor, checkpointing: bool) -> torch.Tensor:
        """Computes the logits in one pass over the text."""
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
    """A trigger that reads the reasoner's last hidden state. It costs almost no computation.

    The state is detached, so that the trigger's gradient does not train the weaver.
    """

    adapter: ClassVar[str | None] = None
    has_cache: ClassVar[bool] = False
    may_own_decoder: ClassVar[bool] = False

    def logit(self, hidden: torch.Tensor) -> torch.Tensor:
        """Returns z from detached hidden states, see :meth:`MemGenTrigger.logit`."""
        return super().logit(hidden.detach())

    def stream_logits(self, plan: StreamPlan, hidden_BLD: torch.Tensor, checkpointing: bool) -> torch.Tensor:
        """Computes the logits from the reasoner's hidden states."""
        return self.logit(hidden_BLD)
