"""The order of training: which rows a step sees, as a function of seed and step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


class StepLoader:
    """Batches of one rank, epoch after epoch. Its state is one number: the steps begun.

    The state of verl's loader is an iterator's, and one that is restored where an epoch ends goes on in another order
    than a run that was never stopped.
    """

    def __init__(
        self,
        rows: Sequence[dict[str, Any]] | Any,
        batch_size: int,
        seed: int,
        collate: Callable[[list[dict[str, Any]]], dict[str, Any]],
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Sets the order.

        Args:
            rows: what is drawn from, by index.
            batch_size: rows of a step, of all ranks together: a multiple of ``ranks``.
            seed: of the order.
            collate: makes a batch of rows.
            rank: this rank, which gets its share of every batch.
            ranks: how many there are.
        """
        self.rows, self.batch_size, self.seed, self.collate = rows, batch_size, seed, collate
        self.rank, self.ranks = rank, ranks
        self.step = 0

    def __len__(self) -> int:
        """Steps of an epoch; rows that fill no batch are left out of it."""
        return len(self.rows) // self.batch_size

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The batches from the next step to the end of its epoch."""
        epoch, done = divmod(self.step, len(self))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.rows))
        for start in range(done * self.batch_size, len(self) * self.batch_size, self.batch_size):
            self.step += 1
            mine = order[start : start + self.batch_size][self.rank :: self.ranks]
            yield self.collate([self.rows[int(index)] for index in mine])

    def state_dict(self) -> dict[str, int]:
        """Returns the number of steps begun."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on after the steps of :meth:`state_dict`."""
        self.step = state["step"]
