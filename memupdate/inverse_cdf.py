"""Draws token ids by inverting the cumulative distribution at given uniform numbers.

A token drawn this way depends on its own logits and its own number alone, never on the rest of the batch.

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

import torch


def inverse_cdf(logits_RV: torch.Tensor, uniform_R: torch.Tensor) -> torch.Tensor:
    """Draws one id for each row.

    Args:
        logits_RV: logits, already divided by the temperature. They are computed with in float64.
        uniform_R: a float64 number in [0, 1) for each row.

    Returns:
        For each row (R,), the first id whose cumulative probability exceeds the row's number.
    """
    cdf_RV = torch.softmax(logits_RV.double(), -1).cumsum(-1)
    ids_R = torch.searchsorted(cdf_RV, (uniform_R * cdf_RV[:, -1])[:, None], right=True).squeeze(1)
    return ids_R.clamp(max=logits_RV.shape[1] - 1)
