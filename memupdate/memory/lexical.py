"""Search by words: BM25 over the texts of a bank, and its mean with the cosine of the embeddings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from memupdate.memory.words import content_stems

RANKINGS = ("cosine", "hybrid")

# Of a hybrid score, the part that is the cosine. A convex combination, as in Bruch, Gai and Ingber, "An Analysis of
# Fusion Functions for Hybrid Retrieval" (2023, section 4), who find it ahead of reciprocal rank fusion; and unlike a
# fused rank it stays in [0, 1], so that a threshold keeps its meaning.
COSINE_SHARE = 0.5


class LexicalIndex:
    """BM25 over the word stems of one state of a bank: Lucene's variant, with k1 = 1.5 and b = 0.75.

    Args:
        texts: the memories' texts, in the bank's order.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from bm25s import BM25  # here: it loads scipy, which a bank without hybrid search does not need

        stems = [content_stems(text) for text in texts]
        self._count = len(stems)
        self._known = {stem for words in stems for stem in words}
        self._bm25 = BM25(k1=1.5, b=0.75, method="lucene")
        if self._known:
            self._bm25.index(stems, show_progress=False)

    def scores(self, query: str) -> np.ndarray:
        """Returns ``(S,)`` float64 scores of all texts, from 0 to 1: BM25 divided by the best text's BM25.

        All scores are 0 if no text has a word of the query.
        """
        words = [stem for stem in content_stems(query) if stem in self._known]
        if not words:
            return np.zeros(self._count)
        scores_S = np.asarray(self._bm25.get_scores(words), dtype=np.float64)
        best = float(scores_S.max())
        return scores_S / best if best > 0 else scores_S


def blend(cosines_S: np.ndarray, lexical_S: np.ndarray) -> np.ndarray:
    """Returns hybrid scores from 0 to 1. They are rounded, so that equal memories have equal scores."""
    mixed_S: np.ndarray = (COSINE_SHARE * cosines_S + (1 - COSINE_SHARE) * lexical_S).round(6)
    return mixed_S
