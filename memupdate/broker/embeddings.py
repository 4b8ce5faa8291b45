"""Embeddings for the banks of one process. Each text is embedded once, in a batch, in a thread off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from memupdate.memory import CachingEmbedder, Embedder, HashingEmbedder


class Embeddings:
    """An embedder with a cache. It embeds the texts of all trajectories together.

    While a thread computes one batch, new texts collect in the next. So batches grow with the load, and no request
    waits for a batch to fill.

    Attributes:
        cached: the embedder of the banks. It embeds a text itself if the text is not in the cache.
        inline: whether embedding a text is cheaper than passing it to a thread.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.cached = CachingEmbedder(embedder)
        self.inline = type(embedder) is HashingEmbedder
        self._waiting: list[tuple[Sequence[str], asyncio.Future[np.ndarray]]] = []
        self._batches: asyncio.Task[None] | None = None

    async def of(self, texts: Sequence[str]) -> np.ndarray:
        """Returns the texts' embeddings (N, D), float32.

        Raises:
            Exception: the error that the embedder raised.
        """
        if not self.cached.missing(texts):
            return self.cached.embed(texts)
        rows: asyncio.Future[np.ndarray] = asyncio.get_running_loop().create_future()
        self._waiting.append((texts, rows))
        if self._batches is None or self._batches.done():
            self._batches = asyncio.create_task(self._compute())
        return await rows

    async def _compute(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            texts = [text for asked, _ in batch for text in asked]
            computed = asyncio.get_running_loop().run_in_executor(None, self.cached.embed, texts)
            await asyncio.wait([computed])
            error = computed.exception()
            start = 0
            for asked, rows in batch:
                if error is not None and not rows.cancelled():
                    rows.set_exception(error)
                elif not rows.cancelled():
                    rows.set_result(computed.result()[start : start + len(asked)])
                start += len(asked)
