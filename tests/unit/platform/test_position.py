"""Which rows come next: every epoch is a permutation, and a resumed position goes on where it was.

Rows U36.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memupdate.errors import FieldError
from memupdate.platform.position import DataPosition


@given(size=st.integers(1, 40), epochs=st.integers(1, 4), seed=st.integers(0, 99), chunk=st.integers(1, 17))
def test_every_epoch_draws_every_row_once(size: int, epochs: int, seed: int, chunk: int) -> None:
    position = DataPosition(size, seed)
    rows: list[int] = []
    while len(rows) < size * epochs:
        rows += position.next_rows(min(chunk, size * epochs - len(rows)))
    for epoch in range(epochs):
        assert sorted(rows[epoch * size : (epoch + 1) * size]) == list(range(size))


@given(size=st.integers(1, 30), cut=st.integers(0, 90), total=st.integers(1, 90), seed=st.integers(0, 9))
def test_u36_a_resumed_position_draws_what_an_uninterrupted_one_would(
    size: int, cut: int, total: int, seed: int
) -> None:
    """Any cut, an epoch's edge (cut a multiple of size) included."""
    whole = DataPosition(size, seed)
    expected = whole.next_rows(cut + total)
    first = DataPosition(size, seed)
    taken = first.next_rows(cut)
    resumed = DataPosition(size, seed, drawn=first.drawn)
    assert taken + resumed.next_rows(total) == expected


def test_epochs_and_seeds_shuffle_differently() -> None:
    position = DataPosition(50, seed=0)
    first, second = position.next_rows(50), position.next_rows(50)
    assert first != second
    assert DataPosition(50, seed=1).next_rows(50) != first


def test_no_rows_is_an_error() -> None:
    with pytest.raises(FieldError, match=r"data\.train_files"):
        DataPosition(0, seed=0)
