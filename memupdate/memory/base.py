"""The immutable part of a bank: the initial memories and their embeddings, which every fork shares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from memupdate.errors import FieldError
from memupdate.memory.embedder import Embedder, embedded
from memupdate.memory.record import MEMORY_TYPES, Memory

TYPE_CODES = {name: code for code, name in enumerate(MEMORY_TYPES)}

# Longer numbers are not followed: no bank counts that far, and Python refuses to read very long ones.
_NUMBERED = re.compile(r"m([0-9]{1,18})")


def number_of(memory_id: str) -> int:
    """Returns ``n`` for an id ``m{n}``, which is how a bank names its new memories, and 0 for any other id."""
    found = _NUMBERED.fullmatch(memory_id)
    return int(found[1]) if found else 0


class Base:
    """The N initial memories, at slots 0 to N-1. Nothing here changes after construction.

    Attributes:
        memories: the memories, in order.
        embedder: embeds queries and written content.
        slots: the slot of each id.
        embeddings_ND: float32, unit rows, read-only.
        types_N: each memory's type, as a code of ``TYPE_CODES``.
        characters: sum of the lengths of all contents, in characters.
        next_number: the first new memory gets the id ``m{next_number}``.
    """

    __slots__ = ("_digests", "characters", "embedder", "embeddings_ND", "memories", "next_number", "slots", "types_N")

    def __init__(self, memories: Iterable[Memory], embedder: Embedder, embeddings_ND: np.ndarray | None = None) -> None:
        """Takes the memories. Raises FieldError if an id occurs twice, or if the embeddings have another shape."""
        self.memories = tuple(memories)
        self.embedder = embedder
        self.slots = {memory.id: slot for slot, memory in enumerate(self.memories)}
        if len(self.slots) < len(self.memories):
            twice = next(memory.id for slot, memory in enumerate(self.memories) if self.slots[memory.id] != slot)
            raise FieldError("id", twice, "ids that occur once in the initial memories")
        if embeddings_ND is None:
            embeddings_ND = embedded(embedder, [memory.text for memory in self.memories])
        self.embeddings_ND = checked_rows("embeddings_ND", embeddings_ND, (len(self.memories), embedder.dim))
        self.types_N = np.array([TYPE_CODES[memory.memory_type] for memory in self.memories], dtype=np.int8)
        self.characters = sum(len(memory.content) for memory in self.memories)
        self.next_number = max((number_of(memory.id) for memory in self.memories), default=0) + 1
        self._digests: tuple[bytes, ...] | None = None

    def __len__(self) -> int:
        return len(self.memories)

    def part(self, slots: Sequence[int]) -> Base:
        """Returns a base of some of these memories. It takes their embeddings, and embeds nothing.

        Args:
            slots: the slots of the memories, ascending. Where they are the first ones, the embeddings are shared.
        """
        first = len(slots) == 0 or slots[-1] == len(slots) - 1
        rows_ND = self.embeddings_ND[: len(slots)] if first else self.embeddings_ND[list(slots)]
        return Base([self.memories[slot] for slot in slots], self.embedder, rows_ND)

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The digest of each memory. They are computed when they are first asked for."""
        if self._digests is None:
            self._digests = tuple(memory.digest() for memory in self.memories)
        return self._digests


def checked_rows(name: str, rows: object, shape: tuple[int, int]) -> np.ndarray:
    """Returns ``rows`` as a read-only float32 matrix. It is a copy if the given one could be written to.

    Args:
        name: the field's name, for the error.
        rows: the matrix.
        shape: the shape that it must have.

    Raises:
        FieldError: the shape is another one, or the length of a row is neither 1 nor 0.
    """
    given = np.asarray(rows)
    if given.shape != shape or not np.issubdtype(given.dtype, np.floating):
        raise FieldError(name, f"{given.dtype} of shape {given.shape}", f"floats of shape {shape}")
    rows_ND = np.array(given, dtype=np.float32, order="C", copy=True if given.flags.writeable else None)
    squares_N = np.vecdot(rows_ND, rows_ND)
    fine_N = (abs(squares_N - 1) < 2e-2) | (squares_N == 0)
    if not fine_N.all():
        wrong = int(fine_N.argmin())
        raise FieldError(name, f"row {wrong} of length {squares_N[wrong] ** 0.5:.3g}", "unit rows (or zero rows)")
    rows_ND.flags.writeable = False
    return rows_ND
