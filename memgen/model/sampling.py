"""Drawing the next id of each row: every row has a random state of its own, so its tokens do not depend on the batch.

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memgen.model.gate import MASKED, at_least_fp32, gate_logits
from memgen.stream import ReservedIds
from memupdate.errors import FieldError


@dataclass(frozen=True)
class SamplingSettings:
    """How ids are drawn.

    Attributes:
        temperature: 0 is greedy.
        top_k: keep the k most likely text ids; 0 keeps all.
        top_p: keep the most likely text ids that together reach this probability; 1 keeps all.

    Both filters act on the reasoner's distribution before the gate: the probability of an insertion stays sigmoid(z/T).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise FieldError("temperature", self.temperature, "a number of at least 0 (0 is greedy)")
        if self.top_k < 0:
            raise FieldError("top_k", self.top_k, "an integer of at least 0 (0 keeps all)")
        if not 0 < self.top_p <= 1:
            raise FieldError("top_p", self.top_p, "a number in (0, 1]")

    @property
    def filters(self) -> bool:
        """Whether a filter is set that can change what is drawn."""
        return self.temperature > 0 and (self.top_k > 0 or self.top_p < 1)


class Sampler:
    """Gates the reasoner's logits and draws from them."""

    def __init__(self, settings: SamplingSettings, reserved: ReservedIds, mode: str) -> None:
        self.settings, self.reserved, self.mode = settings, reserved, mode

    def draw(
        self,
        logits_RV: torch.Tensor,
        trigger_R: torch.Tensor,
        asked_R: torch.Tensor,
        generators: Sequence[torch.Generator],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws one id a row.

        Args:
            logits_RV: the reasoner's logits.
            trigger_R: z; read where asked.
            asked_R: first id of the block that may follow, or 0.
            generators: the rows' random states (on the CPU).

        Returns:
            Ids (R,), and their log-probs (R,) under the policy at this temperature, unfiltered; greedy decoding reports
            those at temperature 1.
        """
        settings = self.settings
        logits_RV = at_least_fp32(logits_RV)
        temperature = settings.temperature or 1.0
        none_R = torch.zeros_like(asked_R)

        def gate(logits: torch.Tensor, at: float) -> torch.Tensor:
            return gate_logits(logits, trigger_R, asked_R, none_R, self.reserved, self.mode, at)

        policy_RV = gate(logits_RV.clone(), temperature) / temperature
        if settings.temperature == 0:
            ids_R = gate(logits_RV, 0).argmax(-1)
        else:
            drawn_RV = policy_RV
            if settings.filters:
                drawn_RV = gate(self._filter(logits_RV), temperature) / temperature
            uniform_R = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
            ids_R = _inverse_cdf(drawn_RV, uniform_R.to(logits_RV.device))
        log_prob_R = policy_RV.gather(1, ids_R[:, None]).squeeze(1) - torch.logsumexp(policy_RV, -1)
        return ids_R, log_prob_R

    def _filter(self, logits_RV: torch.Tensor) -> torch.Tensor:
        """Masks what top-k and top-p leave out."""
        logits_RV = logits_RV.clone()
        logits_RV[:, list(self.reserved.all)] = MASKED
        sorted_RV, order_RV = logits_RV.sort(-1, descending=True)
        probability_RV = torch.softmax(sorted_RV / self.settings.temperature, -1)
        dropped_RV = probability_RV.cumsum(-1) - probability_RV >= self.settings.top_p
        if self.settings.top_k:
            dropped_RV[:, self.settings.top_k :] = True
        return logits_RV.scatter(1, order_RV, sorted_RV.masked_fill(dropped_RV, MASKED))


def _inverse_cdf(logits_RV: torch.Tensor, uniform_R: torch.Tensor) -> torch.Tensor:
    """The first id whose cumulative probability exceeds the uniform number."""
    cdf_RV = torch.softmax(logits_RV.double(), -1).cumsum(-1)
    ids_R = torch.searchsorted(cdf_RV, (uniform_R * cdf_RV[:, -1])[:, None], right=True).squeeze(1)
    return ids_R.clamp(max=logits_RV.shape[1] - 1)
