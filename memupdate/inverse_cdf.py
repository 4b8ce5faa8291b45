"""Draws token ids by inverting the cumulative distribution at given uniform numbers.

A token depends only on the logits and the uniform number of its row, and not on the rest of the batch.

Shapes: R rows, V vocabulary.
"""

from __future__ import annotations

import torch


def inverse_cdf(logits_RV: torch.Tensor, uniform_R: torch.Tensor) -> torch.Tensor:
    """Draws one id for each row.

    Args:
        logits_RV: logits (R, V), already divided by the temperature. They are converted to float64.
        uniform_R: uniform numbers (R,) in [0, 1), float64.

    Returns:
        Ids (R,): for each row, the first id whose cumulative probability exceeds the row's number.
    """
    cdf_RV = torch.softmax(logits_RV.double(), -1).cumsum(-1)
    ids_R = torch.searchsorted(cdf_RV, (uniform_R * cdf_RV[:, -1])[:, None], right=True).squeeze(1)
    return ids_R.clamp(max=logits_RV.shape[1] - 1)
