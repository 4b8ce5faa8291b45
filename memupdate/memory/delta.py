"""The editable part of a bank: what was added, changed and deleted since its base, and the journal of the edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from memupdate.memory.base import TYPE_CODES, Base
from memupdate.memory.lexical import LexicalIndex
from memupdate.memory.operation import Operation, without_keys
from memupdate.memory.record import Memory


class Delta:
    """The edits over one base.

    Each memory has a slot. A memory of the base has its place there as its slot; a new memory gets the next number. An
    update keeps the slot, so the order of slots is the order of insertion. Each changed or added memory also has a row
    of the matrix of embeddings. The rows have no gaps: when a memory is dropped, the last row moves to its place. A
    memory gets its row when it is put. The row gets its embedding later, when vectors are compared.

    Attributes:
        memories: the changed and added memories, by slot.
        slots: the slot of each added id. Ids of the base are in the base.
        hidden: slots of the base that were deleted or changed. They stay hidden.
        created: how many memories were ever added, which gives the next slot.
        next_number: the next new memory gets the id ``m{next_number}``. It is above every ``m{n}`` that the bank had.
        characters: sum of the lengths of all contents of the bank, in characters.
        journal: the mutations that were applied since the base, in order.
        results: the operation and its result, by idempotency key.
        unembedded: slots whose row has no embedding yet, as the keys of a dict, in the order of writing.
        lexical: an index of the words of this state. It is made by the first search that needs it and dropped by the
            next change.
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
        """Returns an independent copy. Its cost grows with the number of edits and not with the size of the base."""
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

    def forget_keys(self) -> None:
        """Forgets which idempotency keys were applied. The mutations stay in the journal, without keys."""
        self.journal = without_keys(self.journal)
        self.results = {}

    @property
    def rows_MD(self) -> np.ndarray:
        """Embeddings of ``memories``, in any order. The rows of ``unembedded`` slots have no meaning yet."""
        return self._rows_MD[: len(self._row_of)]

    @property
    def row_slots_M(self) -> np.ndarray:
        """The slot of each row of ``rows_MD``."""
        return self._row_slots_M[: len(self._row_of)]

    @property
    def row_types_M(self) -> np.ndarray:
        """The type code of each row of ``rows_MD``."""
        return self._row_types_M[: len(self._row_of)]

    @property
    def hidden_H(self) -> np.ndarray:
        """``hidden`` as an index array."""
        if self._hidden_H is None:
            self._hidden_H = np.fromiter(self.hidden, dtype=np.int64, count=len(self.hidden))
        return self._hidden_H

    def hide(self, slot: int) -> None:
        """Hides a slot of the base."""
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
        """Returns the ``(S, D)`` embeddings of changed or added slots."""
        return self._rows_MD[[self._row_of[slot] for slot in slots]]

    def _grow(self, rows: int) -> None:
        for name in ("_rows_MD", "_row_slots_M", "_row_types_M"):
            old = getattr(self, name)
            grown = np.empty((rows, *old.shape[1:]), dtype=old.dtype)
            grown[: len(old)] = old
            setattr(self, name, grown)
