"""Selects columns in each row of a padded batch, reads them, and writes them back.

Shapes: B rows, L columns, S selected columns, D size of a position.
"""

from __future__ import annotations

import torch


def columns_of(selected_BL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the selected columns of each row, without gaps between them.

    Returns:
        Column indices (B, S), padded with L, and a mask (B, S) that is True for real indices. S is the largest number
        of selected columns in a row, and at least 1.
    """
    columns = selected_BL.shape[1]
    most = max(int(selected_BL.sum(1).max()), 1)
    index_BL = torch.arange(columns, device=selected_BL.device).expand_as(selected_BL)
    column_BS = torch.where(selected_BL, index_BL, columns).sort(1).values[:, :most]
    return column_BS, column_BS < columns


def take(values: torch.Tensor, column_BS: torch.Tensor) -> torch.Tensor:
    """Reads columns of ``values``, which has the shape (B, L) or (B, L, D).

    A padding index reads the last column. That value is meaningless.
    """
    column_BS = column_BS.clamp(max=values.shape[1] - 1)
    if values.dim() == 2:
        return values.gather(1, column_BS)
    return values.gather(1, column_BS[..., None].expand(-1, -1, values.shape[2]))


def put(values_BLD: torch.Tensor, column_BS: torch.Tensor, new_BSD: torch.Tensor) -> torch.Tensor:
    """Returns a copy of ``values_BLD`` with some columns replaced. Values at padding indices are dropped."""
    rows, columns, size = values_BLD.shape
    row_B1 = torch.arange(rows, device=values_BLD.device)[:, None]
    spare = torch.cat([values_BLD, values_BLD.new_zeros(rows, 1, size)], 1)
    return spare.index_put((row_B1, column_BS), new_BSD.to(values_BLD.dtype))[:, :columns]
