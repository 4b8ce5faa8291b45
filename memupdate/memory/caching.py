"""An embedder that remembers what it embedded."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from itertools import islice

import numpy as np

from memupdate.checks import check_positive_int
from memupdate.memory.embedder import Embedder, embedded


class CachingEmbedder:
    """Embeds each text once. Texts are known by the SHA-256 of their content.

    Args:
        inner: computes the vectors.
        capacity: how many texts to keep. When there are more, the texts that were not asked for longest are dropped.

    Attributes:
        computed: how many texts the inner embedder has embedded.

    Raises:
        FieldError: ``capacity`` is not a positive integer.
    """

    def __init__(self, inner: Embedder, capacity: int = 262_144) -> None:
        self.inner = inner
        self.name = inner.name
        self.dim = inner.dim
        self.capacity = check_positive_int("embedder.capacity", capacity)
        self.computed = 0
        self._rows: dict[bytes, np.ndarray] = {}
        self._lock = threading.Lock()  # never held while the inner embedder computes

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Returns the texts that would have to be computed, each once."""
        with self._lock:
            return [text for text in dict.fromkeys(texts) if _key(text) not in self._rows]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns ``(N, D)`` float32 unit rows; the row of a text without words is zero.

        Only texts that are not in the cache are computed. Several threads may call this. If two of them ask for the
        same new text at the same time, both compute it.
        """
        keys = [_key(text) for text in texts]
        with self._lock:
            found = {key: self._rows.pop(key) for key in dict.fromkeys(keys) if key in self._rows}
            self._rows |= found  # put back as the newest
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            fresh_MD = embedded(self.inner, list(missing.values()))
            # A copy each: a row that is a view would keep the whole batch alive.
            found |= {key: row_D.copy() for key, row_D in zip(missing, fresh_MD, strict=True)}
            with self._lock:
                self.computed += len(missing)
                self._rows |= {key: found[key] for key in missing}
                if len(self._rows) > self.capacity:
                    for key in list(islice(self._rows, len(self._rows) - self.capacity)):
                        del self._rows[key]
        rows_ND = np.empty((len(texts), self.dim), dtype=np.float32)
        for row, key in enumerate(keys):
            rows_ND[row] = found[key]
        return rows_ND


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
