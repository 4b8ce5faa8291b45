"""Chooses a sample of memories: at random, spread in embedding space, or the most recent ones."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from memupdate.checks import check_choice

SAMPLE_STRATEGIES = ("random", "diverse", "recent")


def pick(strategy: str, count: int, k: int, seed: int, vectors: Callable[[], np.ndarray]) -> list[int]:
    """Chooses at most ``k`` of ``count`` memories.

    Args:
        strategy: one of ``SAMPLE_STRATEGIES``.
        count: how many memories there are, in order of insertion.
        k: how many to choose.
        seed: of the random choices.
        vectors: returns the ``(count, D)`` unit rows of the memories. It is called only for ``diverse``.

    Returns:
        Places in ``range(count)``, in the order of choice.

    Raises:
        FieldError: the strategy is unknown.
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
    """Chooses rows that are far from each other, by greedy k-center (Gonzalez, 1985).

    It starts with one row. It then always adds the row that is farthest from its nearest chosen row.

    Args:
        vectors_ND: unit rows. Two rows are far from each other if their inner product is small.
        k: how many rows to choose, at most N.
        start: the first row.

    Returns:
        Row numbers in the order of choice. Of equally far rows, the one with the lower number is chosen.
    """
    chosen = [start]
    nearest_N = np.full(len(vectors_ND), -np.inf, dtype=np.float32)
    while len(chosen) < k:
        # Rounded, so that equal rows are equally far whatever the order of summation was.
        nearest_N = np.maximum(nearest_N, np.round(vectors_ND @ vectors_ND[chosen[-1]], 6))
        nearest_N[chosen] = np.inf
        chosen.append(int(np.argmin(nearest_N)))
    return chosen
