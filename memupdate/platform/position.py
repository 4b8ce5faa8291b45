"""Which prompts come next: a pure function of the seed and of how many were drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memupdate.errors import FieldError


@dataclass
class DataPosition:
    """A shuffled pass over ``size`` rows after another; the position is one number.

    A loader whose state is an iterator has to be caught in the middle of an epoch and cannot be at its edge. Here the
    permutation of epoch ``e`` is ``default_rng((seed, e))``, so that a run that was killed anywhere goes on with the
    row it would have drawn.

    Attributes:
        size: rows in the training file.
        seed: of the shuffle.
        drawn: rows drawn since the start of the run.
    """

    size: int
    seed: int
    drawn: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise FieldError("data.train_files", f"{self.size} rows", "at least one row")

    def next_rows(self, count: int) -> list[int]:
        """Draws the next ``count`` row numbers; goes on into the next epoch where one ends."""
        rows: list[int] = []
        while len(rows) < count:
            epoch, offset = divmod(self.drawn, self.size)
            order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
            taken = order[offset : offset + count - len(rows)].tolist()
            rows.extend(taken)
            self.drawn += len(taken)
        return rows
