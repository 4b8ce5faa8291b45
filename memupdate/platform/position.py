"""The position in the training data. It determines the next prompts from the seed and the number of rows drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memupdate.errors import FieldError


@dataclass
class DataPosition:
    """Repeated passes over ``size`` rows, each shuffled anew. The position is a single number.

    The order of epoch ``e`` is a permutation from ``default_rng((seed, e))``. A killed run resumes with the row that it
    would have drawn next, even at the end of an epoch. verl's loader restores the state of an iterator, which fails at
    the end of an epoch.

    Attributes:
        size: the number of rows in the training file.
        seed: the seed of the shuffle.
        drawn: the number of rows drawn since the start of the run.
    """

    size: int
    seed: int
    drawn: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise FieldError("data.train_files", f"{self.size} rows", "at least one row")

    def next_rows(self, count: int) -> list[int]:
        """Returns the next ``count`` row numbers and advances the position, across epochs if needed."""
        rows: list[int] = []
        while len(rows) < count:
            epoch, offset = divmod(self.drawn, self.size)
            order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
            taken = order[offset : offset + count - len(rows)].tolist()
            rows.extend(taken)
            self.drawn += len(taken)
        return rows
