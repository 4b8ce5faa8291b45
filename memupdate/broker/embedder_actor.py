"""The broker's embedding model in a separate Ray actor. All shards share it, so each text is embedded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray

from memupdate.broker.embeddings import Embeddings
from memupdate.memory import JSON, make_embedder


class EmbedderService:
    """Serves an embedder. It batches texts across trajectories and shards, and caches embeddings by content hash.

    Args:
        embedder: the embedder's name, as ``make_embedder`` takes it.

    Raises:
        FieldError: there is no such embedder.
    """

    def __init__(self, embedder: str) -> None:
        self._embeddings = Embeddings(make_embedder(embedder))

    async def describe(self) -> dict[str, JSON]:
        """Returns the embedder's ``name`` and ``dim``, and ``computed``, the number of texts embedded so far."""
        cached = self._embeddings.cached
        return {"name": cached.name, "dim": cached.dim, "computed": cached.computed}

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the texts' embeddings (N, D), float32, with rows of unit length."""
        return await self._embeddings.of(texts)


EmbedderActor = ray.remote(EmbedderService)


class RemoteEmbedder:
    """An ``Embedder`` that calls an embedder actor. The calls block, so a broker makes them in a thread.

    Args:
        actor_name: the actor's name in the Ray namespace.
    """

    def __init__(self, actor_name: str) -> None:
        self._actor: Any = ray.get_actor(actor_name)
        described: Any = ray.get(self._actor.describe.remote())
        self.name: str = described["name"]
        self.dim: int = described["dim"]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the texts' embeddings (N, D), float32. Rows have unit length; a text without words has a zero row."""
        rows_ND: np.ndarray = ray.get(self._actor.embed.remote(list(texts)))
        return rows_ND
