"""The broker's embedding model as a Ray actor of its own: one for all shards, so that texts are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray

from memupdate.broker.embeddings import Embeddings
from memupdate.memory import JSON, make_embedder


class EmbedderService:
    """Serves an embedder: batches across trajectories and shards, and a cache by content hash.

    Args:
        embedder: its name, as ``make_embedder`` takes it.

    Raises:
        FieldError: there is no such embedder.
    """

    def __init__(self, embedder: str) -> None:
        self._embeddings = Embeddings(make_embedder(embedder))

    async def describe(self) -> dict[str, JSON]:
        """Returns ``name`` and ``dim`` of the embedder, and ``computed``, how many texts it has embedded."""
        cached = self._embeddings.cached
        return {"name": cached.name, "dim": cached.dim, "computed": cached.computed}

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns ``(N, D)`` float32, unit rows."""
        return await self._embeddings.of(texts)


EmbedderActor = ray.remote(EmbedderService)


class RemoteEmbedder:
    """An ``Embedder`` that asks an embedder actor. Its calls block, so a broker makes them in a thread.

    Args:
        actor_name: found by this name in the Ray namespace.
    """

    def __init__(self, actor_name: str) -> None:
        self._actor: Any = ray.get_actor(actor_name)
        described: Any = ray.get(self._actor.describe.remote())
        self.name: str = described["name"]
        self.dim: int = described["dim"]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Returns ``(N, D)`` float32, unit rows; a zero row for a text without words."""
        rows_ND: np.ndarray = ray.get(self._actor.embed.remote(list(texts)))
        return rows_ND
