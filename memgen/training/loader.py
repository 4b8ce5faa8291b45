"""The order of training rows. The rows of a step depend only on seed and step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


class StepLoader:
    """Loads the batches of one rank, epoch after epoch. Its state is the number of steps begun.

    verl's own loader stores the state of an iterator. If that state is restored at the end of an epoch, the order
    differs from that of a run that was never stopped.
    """

    def __init__(
        self,
        rows: Sequence[dict[str, Any]] | Any,
        batch_size: int,
        seed: int,
        collate: Callable[[list[dict[str, Any]]], dict[str, Any]],
        rank: int = 0,
        ranks: int = 1,
        before_step: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Sets up the loader.

        Args:
            rows: the training rows, accessed by index.
            batch_size: rows per step, over all ranks. It must be a multiple of ``ranks``.
            seed: random seed of the order.
            collate: function that makes a batch from rows.
            rank: index of this rank. Each rank gets an equal share of every batch.
            ranks: number of ranks.
            before_step: function to call before each step with the number of steps done.
        """
        self.rows, self.batch_size, self.seed, self.collate = rows, batch_size, seed, collate
        self.rank, self.ranks = rank, ranks
        self.before_step = before_step
        self.step = 0

    def __len__(self) -> int:
        """Returns the number of steps per epoch. An epoch leaves out the rows that do not fill a whole batch."""
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yields the batches from the next step to the end of its epoch."""
        epoch, done = divmod(self.step, len(self))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))
        for start in range(done * self.batch_size, len(self) * self.batch_size, self.batch_size):
            self.before_step(self.step)
            self.step += 1
            mine = order[start : start + self.batch_size][self.rank :: self.ranks]
            yield self.collate([self.rows[int(index)] for index in mine])

    def state_dict(self) -> dict[str, int]:
        """Returns the number of steps begun."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restores a state of :meth:`state_dict`. The loader continues after these steps."""
        self.step = state["step"]
