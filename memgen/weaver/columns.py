"""Columns of a padded batch: which are selected in each row, reading them, and writing them back.

Shapes: B rows, L columns, S selected columns, D size of a position.
"""

from __future__ import annotations

import torch


def columns_of(selected_BL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lays the selected columns of each row side by side.

    Returns:
        Column indices (B, S), S being the most of any row and at least 1, filled up with L; and which are real (B, S).
    """
    columns = selected_BL.shape[1]
    most = max(int(selected_BL.sum(1).max()), 1)
    index_BL = torch.arange(columns, device=selected_BL.device).expand_as(selected_BL)
    column_BS = torch.where(selected_BL, index_BL, columns).sort(1).values[:, :most]
    return column_BS, column_BS < columns


def take(values: torch.Tensor, column_BS: torch.Tensor) -> torch.Tensor:
    """Reads columns of (B, L) or (B, L, D). A column that is not real reads the last one, and nobody may use it."""
    column_BS = column_BS.clamp(max=values.shape[1] - 1)
    if values.dim() == 2:
        return values.gather(1, column_BS)
    return values.gather(1, column_BS[..., None].expand(-1, -1, values.shape[2]))


def put(values_BLD: torch.Tensor, column_BS: torch.Tensor, new_BSD: torch.Tensor) -> torch.Tensor:
    """Returns ``values_BLD`` with columns replaced, not in place. Columns that are not real are dropped."""
    rows, columns, size = values_BLD.shape
    row_B1 = torch.arange(rows, device=values_BLD.device)[:, None]
    spare = torch.cat([values_BLD, values_BLD.new_zeros(rows, 1, size)], 1)
    return spare.index_put((row_B1, column_BS), new_BSD.to(values_BLD.dtype))[:, :columns]
