"""Which memories a sample holds: random, spread in embedding space, or the most recent."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from memupdate.checks import check_choice

SAMPLE_STRATEGIES = ("random", "diverse", "recent")


def pick(strategy: str, count: int, k: int, seed: int, vectors: Callable[[], np.ndarray]) -> list[int]:
    """Places in ``range(count)`` of a sample of at most ``k``.

    Args:
        strategy: one of ``SAMPLE_STRATEGIES``.
        count: how many there are, in order of insertion.
        k: how many to pick.
        seed: of the random choices.
        vectors: gives the ``(count, D)`` unit rows; asked only for ``diverse``.

    Raises:
        FieldError: an unknown strategy.
    """
    check_choice("strategy", strategy, SAMPLE_STRATEGIES)
    k = min(k, count)
    if strategy == "recent":
        return list(range(count - 1, count - 1 - k, -1))
    chance = random.Random(seed)
    if strategy == "random" or k == 0:
        return chance.sample(range(count), k)
    return farthest_points(vectors(), k, chance.randrange(count))


def farthest_points(vectors_ND: np.ndarray, k: int, start: int) -> list[int]:
    """Greedy k-center (Gonzalez, 1985): from ``start``, always the row farthest from the nearest one already chosen.

    Args:
        vectors_ND: unit rows, so that far means a small inner product.
        k: how many rows, at most N.
        start: the first row.

    Returns:
        Row numbers in the order of choice; equally far rows go by number.
    """
    chosen = [start]
    nearest_N = np.full(len(vectors_ND), -np.inf, dtype=np.float32)
    while len(chosen) < k:
        # Rounded, so that equal rows are equally far whatever the order of summation was.
        nearest_N = np.maximum(nearest_N, np.round(vectors_ND @ vectors_ND[chosen[-1]], 6))
        nearest_N[chosen] = np.inf
        chosen.append(int(np.argmin(nearest_N)))
    return chosen
