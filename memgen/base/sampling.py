"""Samples the next id of each row. Every row has its own random state, so its ids do not depend on the batch.

Shapes: R rows, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memupdate.errors import FieldError
from memupdate.inverse_cdf import inverse_cdf

# Logit of an id that is never sampled: exp(MASKED / T) is 0 in fp32 for every T ≤ 90. Minus infinity would make the
# entropy NaN (0 · inf), and a much larger magnitude would overflow in half precision.
MASKED = -1.0e4


@dataclass(frozen=True)
class SamplingSettings:
    """How ids are sampled.

    Attributes:
        temperature: sampling temperature, at least 0. 0 means greedy decoding.
        top_k: only the k most likely ids are kept; 0 keeps all.
        top_p: only the most likely ids that together reach this probability are kept, in (0, 1]; 1 keeps all.
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
        """Whether top-k or top-p can change the sampled ids. It is False in greedy decoding."""
        return self.temperature > 0 and (self.top_k > 0 or self.top_p < 1)


def at_least_fp32(logits: torch.Tensor) -> torch.Tensor:
    """Returns half-precision logits in fp32, and logits of a wider dtype unchanged."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def filtered(logits_RV: torch.Tensor, settings: SamplingSettings) -> torch.Tensor:
    """Returns a copy of the logits in which the ids removed by top-k and top-p have the value ``MASKED``."""
    sorted_RV, order_RV = logits_RV.sort(-1, descending=True)
    probability_RV = torch.softmax(sorted_RV / settings.temperature, -1)
    dropped_RV = probability_RV.cumsum(-1) - probability_RV >= settings.top_p
    if settings.top_k:
        dropped_RV[:, settings.top_k :] = True
    return logits_RV.scatter(1, order_RV, sorted_RV.masked_fill(dropped_RV, MASKED))


def draw(logits_RV: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Samples one id for each row.

    Args:
        logits_RV: logits, already divided by the temperature.
        generators: random state of each row, on the CPU. One number is drawn from each of them.

    Returns:
        Ids (R,).
    """
    uniform_R = torch.stack([torch.rand((), generator=one, dtype=torch.float64) for one in generators])
    return inverse_cdf(logits_RV, uniform_R.to(logits_RV.device))


def sample(
    logits_RV: torch.Tensor, settings: SamplingSettings, generators: Sequence[torch.Generator]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples one id for each row.

    Args:
        logits_RV: logits of the model, not divided by the temperature.
        settings: how ids are sampled.
        generators: random state of each row, on the CPU. Greedy decoding draws nothing from them.

    Returns:
        Ids (R,), and their log-probs (R,) at the sampling temperature, without the filters. Greedy decoding returns
        log-probs at temperature 1.
    """
    logits_RV = at_least_fp32(logits_RV)
    policy_RV = logits_RV / (settings.temperature or 1.0)
    if settings.temperature == 0:
        ids_R = logits_RV.argmax(-1)
    else:
        drawn_RV = filtered(logits_RV, settings) / settings.temperature if settings.filters else policy_RV
        ids_R = draw(drawn_RV, generators)
    return ids_R, policy_RV.log_softmax(-1).gather(1, ids_R[:, None]).squeeze(1)
