"""The editable part of a bank: what was added, changed and deleted since its base, and the journal of how."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memupdate.memory.base import TYPE_CODES, Base
from memupdate.memory.lexical import LexicalIndex
from memupdate.memory.operation import Operation
from memupdate.memory.record import Memory


class Delta:
    """Edits over one base.

    A memory has a slot: its place in the base, or for a new one the next number after the base. An update keeps the
    slot, so order by slot is order of insertion. Rows of embeddings are kept dense: a deleted row takes the last one.
    A memory gets its row when it is put, and the row its embedding when somebody compares vectors.

    Attributes:
        memories: changed and added memories by slot.
        slots: slot of each added id (base ids are in the base).
        hidden: base slots that were deleted or changed; they never come back.
        created: how many memories were ever added; gives the next slot.
        next_number: the next new memory is ``m{next_number}``; above every ``m{n}`` that the bank ever held.
        characters: sum of the contents' lengths over the whole bank.
        journal: every mutation that was applied since the base, in order.
        results: the operation and its result by idempotency key.
        unembedded: slots whose row has no embedding yet, as the keys of a dict: in order of writing.
        lexical: index of the words of this state, once somebody searched by them; gone with the next change.
    """

    __slots__ = (
        "_hidden_H",
        "_row_of",
        "_row_slots_M",
        "_row_types_M",
        "_rows_MD",
        "characters",
        "created",
        "hidden",
        "journal",
        "lexical",
        "memories",
        "next_number",
        "results",
        "slots",
        "unembedded",
    )

    def __init__(self, base: Base) -> None:
        self.memories: dict[int, Memory] = {}
        self.slots: dict[str, int] = {}
        self.hidden: set[int] = set()
        self.created = 0
        self.next_number = base.next_number
        self.characters = base.characters
        self.journal: list[Operation] = []
        self.results: dict[str, tuple[Operation, Any]] = {}
        self.unembedded: dict[int, None] = {}
        self.lexical: LexicalIndex | None = None
        self._hidden_H: np.ndarray | None = None
        self._row_of: dict[int, int] = {}
        self._rows_MD = np.empty((0, base.embeddings_ND.shape[1]), dtype=np.float32)
        self._row_slots_M = np.empty(0, dtype=np.int64)
        self._row_types_M = np.empty(0, dtype=np.int8)

    def copy(self) -> Delta:
        """An independent delta of the same state; its cost grows with the edits, not with the base."""
        twin = object.__new__(Delta)
        twin.memories = self.memories.copy()
        twin.slots = self.slots.copy()
        twin.hidden = self.hidden.copy()
        twin.created = self.created
        twin.next_number = self.next_number
        twin.characters = self.characters
        twin.journal = self.journal.copy()
        twin.results = self.results.copy()
        twin.unembedded = self.unembedded.copy()
        twin.lexical = self.lexical
        twin._hidden_H = self._hidden_H  # replaced, never written to
        twin._row_of = self._row_of.copy()
        twin._rows_MD = self._rows_MD.copy()
        twin._row_slots_M = self._row_slots_M.copy()
        twin._row_types_M = self._row_types_M.copy()
        return twin

    @property
    def rows_MD(self) -> np.ndarray:
        """Embeddings of ``memories``, in no particular order; rows of ``unembedded`` slots mean nothing yet."""
        return self._rows_MD[: len(self._row_of)]

    @property
    def row_slots_M(self) -> np.ndarray:
        """Slot of each row of ``rows_MD``."""
        return self._row_slots_M[: len(self._row_of)]

    @property
    def row_types_M(self) -> np.ndarray:
        """Type code of each row of ``rows_MD``."""
        return self._row_types_M[: len(self._row_of)]

    @property
    def hidden_H(self) -> np.ndarray:
        """``hidden`` as an index array."""
        if self._hidden_H is None:
            self._hidden_H = np.fromiter(self.hidden, dtype=np.int64, count=len(self.hidden))
        return self._hidden_H

    def hide(self, slot: int) -> None:
        """Takes a base slot out of the bank's view of its base."""
        self.hidden.add(slot)
        self._hidden_H = None
        self.lexical = None

    def put(self, slot: int, memory: Memory) -> None:
        """Sets the memory of a slot, without an embedding."""
        row = self._row_of.setdefault(slot, len(self._row_of))
        if row == len(self._rows_MD):
            self._grow(max(4, 2 * row))
        self.memories[slot] = memory
        self.lexical = None
        self.unembedded[slot] = None
        self._row_slots_M[row] = slot
        self._row_types_M[row] = TYPE_CODES[memory.memory_type]

    def embed(self, rows_UD: np.ndarray) -> None:
        """Sets the embeddings of the ``unembedded`` slots, in their order."""
        self._rows_MD[[self._row_of[slot] for slot in self.unembedded]] = rows_UD
        self.unembedded.clear()

    def drop(self, slot: int) -> None:
        """Removes the memory and the embedding of a slot."""
        del self.memories[slot]
        self.unembedded.pop(slot, None)
        self.lexical = None
        row, last = self._row_of.pop(slot), len(self._row_of)
        if row != last:
            self._rows_MD[row] = self._rows_MD[last]
            self._row_slots_M[row] = self._row_slots_M[last]
            self._row_types_M[row] = self._row_types_M[last]
            self._row_of[int(self._row_slots_M[row])] = row

    def vectors_of(self, slots: Sequence[int]) -> np.ndarray:
        """``(S, D)`` embeddings of changed or added slots."""
        return self._rows_MD[[self._row_of[slot] for slot in slots]]

    def _grow(self, rows: int) -> None:
        for name in ("_rows_MD", "_row_slots_M", "_row_types_M"):
            old = getattr(self, name)
            grown = np.empty((rows, *old.shape[1:]), dtype=old.dtype)
            grown[: len(old)] = old
            setattr(self, name, grown)
