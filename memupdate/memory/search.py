"""Exact search for the memories of a bank that are most similar to a query vector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from memupdate.memory.base import TYPE_CODES, Base
from memupdate.memory.delta import Delta
from memupdate.memory.record import JSON, Memory

# How far a float32 inner product may be off: a memory this close to the last place is scored again in float64.
_MARGIN = 1e-5
_CHUNK = 4096


class SearchHit(NamedTuple):
    """A memory that was found, and its score.

    Attributes:
        memory: the memory.
        score: from 0 to 1: the cosine with the query, or the hybrid score.
    """

    memory: Memory
    score: float

    @property
    def id(self) -> str:
        """The memory's id."""
        return self.memory.id

    @property
    def content(self) -> str:
        """The memory's content."""
        return self.memory.content

    def to_json(self) -> dict[str, JSON]:
        """Returns the score and every field of the memory."""
        return {"score": self.score, **self.memory.to_json()}


def live_slots(base: Base, delta: Delta, memory_type: str | None = None) -> np.ndarray:
    """Returns the slots of the bank's memories, ascending. With ``memory_type``, only of memories of that type."""
    shown_N = np.ones(len(base), dtype=bool)
    shown_N[delta.hidden_H] = False
    slots_M = delta.row_slots_M
    if memory_type is not None:
        shown_N &= base.types_N == TYPE_CODES[memory_type]
        slots_M = slots_M[delta.row_types_M == TYPE_CODES[memory_type]]
    return np.sort(np.concatenate([np.flatnonzero(shown_N), slots_M]))


def vectors_of(base: Base, delta: Delta, slots_S: np.ndarray) -> np.ndarray:
    """Returns the ``(S, D)`` embeddings of live slots."""
    rows_SD = np.empty((len(slots_S), base.embeddings_ND.shape[1]), dtype=np.float32)
    edited_S = np.isin(slots_S, delta.row_slots_M)
    rows_SD[~edited_S] = base.embeddings_ND[slots_S[~edited_S]]
    rows_SD[edited_S] = delta.vectors_of(slots_S[edited_S].tolist())
    return rows_SD


def best_slots(
    base: Base,
    delta: Delta,
    query_D: np.ndarray,
    top_k: int,
    memory_type: str | None = None,
    threshold: float | None = None,
) -> list[tuple[int, float]]:
    """Finds the ``top_k`` best memories.

    A matrix product over the base and one over the delta choose the candidates. The final scores of the candidates are
    computed row by row in float64 and rounded. So equal embeddings have equal scores wherever they are stored, and an
    embedding scores 1 against itself.

    Returns:
        Slots and scores, by falling score. Equal scores are in the order of their slots.
    """
    count, changed = len(base), len(delta.memories)
    scores_A = np.empty(count + changed, dtype=np.float32)
    np.dot(base.embeddings_ND, query_D, out=scores_A[:count])
    if changed:
        np.dot(delta.rows_MD, query_D, out=scores_A[count:])
    np.maximum(scores_A, 0, out=scores_A)
    if delta.hidden:
        scores_A[delta.hidden_H] = -1
    if memory_type is not None:
        code = TYPE_CODES[memory_type]
        scores_A[:count][base.types_N != code] = -1
        scores_A[count:][delta.row_types_M != code] = -1
    least = 0.0 if threshold is None else max(0.0, threshold - _MARGIN)
    if top_k < len(scores_A):
        least = max(least, float(np.partition(scores_A, -top_k)[-top_k]) - _MARGIN)
    slots_C = (scores_A >= least).nonzero()[0]  # so far places: a place in the base is a slot
    query_64 = query_D.astype(np.float64)
    if changed:
        in_base = int(slots_C.searchsorted(count))
        rows_C = slots_C[in_base:] - count
        slots_C[in_base:] = delta.row_slots_M[rows_C]
        exact_C = np.concatenate(
            [_exact(base.embeddings_ND, slots_C[:in_base], query_64), _exact(delta.rows_MD, rows_C, query_64)]
        )
    else:
        exact_C = _exact(base.embeddings_ND, slots_C, query_64)
    order = np.lexsort((slots_C, -exact_C))[:top_k]
    found = zip(slots_C[order].tolist(), exact_C[order].tolist(), strict=True)
    return [(slot, score) for slot, score in found if threshold is None or score >= threshold]


def cosines_of(rows_SD: np.ndarray, query_D: np.ndarray) -> np.ndarray:
    """Returns the ``(S,)`` float64 cosines of unit rows with a query, clamped to [0, 1] and rounded to 6 places."""
    return _exact(rows_SD, np.arange(len(rows_SD)), query_D.astype(np.float64))


def _exact(rows_MD: np.ndarray, places_C: np.ndarray, query_D: np.ndarray) -> np.ndarray:
    scores_C = np.empty(len(places_C))
    for start in range(0, len(places_C), _CHUNK):
        chosen_CD = rows_MD.take(places_C[start : start + _CHUNK], axis=0)
        # One row at a time; a matrix product sums a row differently at different places in the matrix.
        scores_C[start : start + _CHUNK] = np.vecdot(chosen_CD.astype(np.float64), query_D)
    return np.minimum(np.maximum(scores_C, 0.0), 1.0).round(6)
