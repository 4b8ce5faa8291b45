"""The trigger: decides, after a delimiter, whether a block is inserted."""

from __future__ import annotations

import torch
from torch import nn

from memgen.base.decoder import Decoder

TRIGGERS = ("paper", "head")
ADAPTER = "trigger"


class MemGenTrigger(nn.Module):
    """A linear layer of two logits, skip and insert.

    ``paper``: over the last hidden state of a model of its own, with LoRA, that reads the text and never a latent.
    ``head``: over the reasoner's last hidden state at the delimiter, detached, so that decisions do not train the
    weaver; nearly free.
    """

    def __init__(self, kind: str, reasoner_decoder: Decoder, own_decoder: Decoder | None) -> None:
        super().__init__()
        self.kind = kind
        self.own_decoder = own_decoder
        # In a tuple, so that the reasoner's weights are not registered here again.
        self._borrowed = (reasoner_decoder,)
        self.output_layer = nn.Linear(int(self.decoder.config.hidden_size), 2)

    @property
    def decoder(self) -> Decoder:
        """The decoder whose states are read: its own, or the reasoner's."""
        return self._borrowed[0] if self.own_decoder is None else self.own_decoder

    def logit(self, hidden: torch.Tensor) -> torch.Tensor:
        """z = logit(insert) - logit(skip), (...), from last hidden states (..., H)."""
        logits = self.output_layer(hidden.detach() if self.kind == "head" else hidden)
        return logits[..., 1] - logits[..., 0]
