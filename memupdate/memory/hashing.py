"""The hashing embedder: words of a text to a vector, without a model."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from memupdate.checks import check_int_between
from memupdate.errors import FieldError
from memupdate.memory.words import content_stems


@lru_cache(maxsize=262_144)
def _place(stem: str) -> int:
    # blake2b and not hash(): the same in every process.
    return int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest(), "little")


class HashingEmbedder:
    """Signed feature hashing of word stems, with sublinear term frequency.

    It needs no model and gives the same vectors in every process. The sign of a word makes colliding words cancel on
    average, so the inner product is an unbiased estimate of the bag-of-words cosine (Weinberger et al., "Feature
    Hashing for Large Scale Multitask Learning", 2009).

    Args:
        dim: length of a vector, from 8 to 65,536.

    Raises:
        FieldError: ``dim`` is not allowed.
    """

    def __init__(self, dim: int = 256) -> None:
        self.dim = check_int_between("embedder.dim", dim, 8, 65_536)
        self.name = f"hashing:{dim}"

    @classmethod
    def from_name(cls, name: str) -> HashingEmbedder:
        """Returns the embedder of a name: ``hashing`` (256 dimensions) or ``hashing:D``.

        Raises:
            FieldError: D is not a number that is allowed.
        """
        _, colon, dim = name.partition(":")
        if not colon:
            return cls()
        if not dim.isdecimal():
            raise FieldError("embedder", name, "hashing, or hashing:D with D from 8 to 65,536")
        return cls(int(dim))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns ``(N, D)`` float32 unit rows; the row of a text without words is zero."""
        rows_ND = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row_D, text in zip(rows_ND, texts, strict=True):
            for stem, count in Counter(content_stems(text)).items():
                place = _place(stem)
                weight = 1.0 + math.log(count)
                row_D[(place >> 1) % self.dim] += weight if place & 1 else -weight
            norm = math.sqrt(float(row_D @ row_D))
            if norm > 0:
                row_D /= norm
        return rows_ND
