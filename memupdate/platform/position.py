"""Which prompts come next, as a function of the seed and of how many were drawn, and of nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memupdate.errors import FieldError


@dataclass
class DataPosition:
    """One shuffled pass over ``size`` rows after another. The position is one number.

    The order of epoch ``e`` is a permutation by ``default_rng((seed, e))``. A run that was killed anywhere, also at the
    edge of an epoch, goes on with the row that it would have drawn next. verl's own loader restores the state of an
    iterator, which fails at the edge of an epoch.

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
        """Returns the next ``count`` row numbers, and goes on into the next epoch if one ends."""
        rows: list[int] = []
        while len(rows) < count:
            epoch, offset = divmod(self.drawn, self.size)
            order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
            taken = order[offset : offset + count - len(rows)].tolist()
            rows.extend(taken)
            self.drawn += len(taken)
        return rows
