"""What ``forward`` of a MemGen model returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from transformers.modeling_outputs import CausalLMOutputWithPast

from memupdate.errors import MemupdateError


class NoHiddenStatesError(MemupdateError, AttributeError):
    """A caller asked for last hidden states to compute logits from them. It would train another policy."""

    def __str__(self) -> str:
        return (
            "last_hidden_state: a MemGen model has none to compute logits from, because the trigger's gate changes the "
            "logits. TRL's SFTTrainer replaces the model's loss in this way and cannot train it; "
            "transformers.Trainer and memgen's own training can"
        )


@dataclass
class MemGenOutput(CausalLMOutputWithPast):
    """Logits and loss."""

    @property
    def last_hidden_state(self) -> NoReturn:
        """Raises :class:`NoHiddenStatesError`."""
        raise NoHiddenStatesError()
