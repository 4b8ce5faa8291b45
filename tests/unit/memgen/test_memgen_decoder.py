"""The attention mask of new items, against its definition."""

from __future__ import annotations

import torch

from memgen.base.decoder import causal_mask


def test_a_query_sees_itself_and_the_real_items_before_it() -> None:
    """A padded query sees itself too. Without that its softmax is over nothing."""
    valid = torch.tensor([[0, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]).bool()
    for queries in (1, 4, 6):
        found = causal_mask(valid, queries)
        assert found.shape == (3, 1, queries, 6)
        for row in range(3):
            for query in range(queries):
                place = 6 - queries + query
                seen = [key == place or (key < place and bool(valid[row, key])) for key in range(6)]
                assert found[row, 0, query].tolist() == seen
