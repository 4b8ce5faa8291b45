"""An embedder: how often each letter occurs in a text."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np


class LettersEmbedder:
    """Counts the 26 letters of a text."""

    name = "letters"
    dim = len(ascii_lowercase)

    @classmethod
    def from_name(cls, name: str) -> LettersEmbedder:
        """Makes the embedder. ``name`` is all that the config says, here ``letters``."""
        return cls()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns one row per text, of length 1. A text without letters has a row of zeros."""
        counts_ND = np.array([[text.lower().count(letter) for letter in ascii_lowercase] for text in texts])
        counts_ND = counts_ND.reshape(len(texts), self.dim).astype(np.float32)
        lengths_N = np.linalg.norm(counts_ND, axis=1, keepdims=True)
        return np.asarray(counts_ND / np.where(lengths_N > 0, lengths_N, 1), dtype=np.float32)
