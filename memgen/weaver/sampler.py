"""The sampler of MemGen: applies the gate to the reasoner's logits and samples ids.

Shapes: R rows, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from memgen.base.sampling import MASKED, SamplingSettings, at_least_fp32, draw, filtered
from memgen.weaver.gate import gate_logits
from memgen.weaver.stream import ReservedIds


class Sampler:
    """Applies the gate to the reasoner's logits and samples ids.

    The filters top-k and top-p are applied to the reasoner's distribution over text before the gate. So the probability
    of an insertion stays sigmoid(z / T).
    """

    def __init__(self, settings: SamplingSettings, reserved: ReservedIds, mode: str) -> None:
        self.settings, self.reserved, self.mode = settings, reserved, mode

    def draw(
        self,
        logits_RV: torch.Tensor,
        trigger_R: torch.Tensor,
        asked_R: torch.Tensor,
        generators: Sequence[torch.Generator],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples one id for each row.

        Args:
            logits_RV: the reasoner's logits.
            trigger_R: the trigger logit z. It is used only if the trigger is asked in the row.
            asked_R: first id of the block that may follow, or 0 if the trigger is not asked.
            generators: random state of each row, on the CPU.

        Returns:
            Ids (R,), and their log-probs (R,) under the policy at the sampling temperature, without the filters. Greedy
            decoding returns log-probs at temperature 1.
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
                drawn_RV = gate(self._filtered_text(logits_RV), temperature) / temperature
            ids_R = draw(drawn_RV, generators)
        log_prob_R = policy_RV.gather(1, ids_R[:, None]).squeeze(1) - torch.logsumexp(policy_RV, -1)
        return ids_R, log_prob_R

    def _filtered_text(self, logits_RV: torch.Tensor) -> torch.Tensor:
        logits_RV = logits_RV.clone()
        logits_RV[:, list(self.reserved.all)] = MASKED
        return filtered(logits_RV, self.settings)
