"""The bank: memories that can be searched, edited, forked and replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from memupdate.errors import FieldError
from memupdate.memory.base import Base, number_of
from memupdate.memory.changes import Change, plan
from memupdate.memory.delta import Delta
from memupdate.memory.embedder import Embedder
from memupdate.memory.operation import Operation
from memupdate.memory.record import JSON, Memory, checked_text
from memupdate.memory.search import SearchHit
from memupdate.memory.view import BankView

Result = Memory | list[Memory] | list[SearchHit]


class MemoryBank(BankView):
    """A view that can be edited: an immutable base, shared by every fork, and a delta that is copied on write.

    Every edit is an ``Operation``, applied whole or not at all, and journaled. A delta is shared with forks and
    snapshots until this bank is written to again; then the bank continues on a copy.
    """

    __slots__ = ("_owns_delta",)

    def __init__(self, base: Base, delta: Delta) -> None:
        """Use ``from_memories``, ``from_view`` or ``fork``."""
        super().__init__(base, delta)
        self._owns_delta = False

    @classmethod
    def from_memories(
        cls, memories: Iterable[Memory], embedder: Embedder, embeddings_ND: np.ndarray | None = None
    ) -> MemoryBank:
        """A bank whose base holds these memories, in this order.

        Args:
            memories: with ids of their own; a new memory's id counts on from the highest ``m{n}``.
            embedder: for queries and written content.
            embeddings_ND: float32 unit rows of the memories' ``text``, where they are known; else they are computed.

        Raises:
            FieldError: an id occurs twice, or the embeddings do not fit.
        """
        base = Base(memories, embedder, embeddings_ND)
        return cls(base, Delta(base))

    @classmethod
    def from_view(cls, view: BankView) -> MemoryBank:
        """A bank of its own that starts from a view's state. Costs microseconds, whatever the size of the view."""
        if isinstance(view, MemoryBank):
            view._owns_delta = False
        return cls(view._base, view._delta)

    @classmethod
    def replay(cls, base: BankView, operations: Iterable[Operation]) -> MemoryBank:
        """The bank that these operations lead to from ``base``, which stays as it is.

        Raises:
            MemupdateError: an operation does not apply; then the journal does not belong to this base.
        """
        bank = cls.from_view(base)
        for operation in operations:
            bank.apply(operation)
        return bank

    def fork(self) -> MemoryBank:
        """A bank of its own that starts from this state; neither sees the other's later edits."""
        return MemoryBank.from_view(self)

    def snapshot(self) -> BankView:
        """This state, for reading; later edits do not reach it."""
        self._owns_delta = False
        return BankView(self._base, self._delta)

    def texts_to_embed(self, operation: Operation) -> list[str]:
        """The texts whose embeddings ``apply`` will need, so that a caller can compute many banks' in one batch.

        None for a mutation; for a read that compares vectors also what was written since the last one.

        Raises:
            FieldError: the query is not allowed.
        """
        if operation.kind == "search":
            return [checked_text("query", operation.arguments["query"]), *self._unembedded()]
        if operation.kind == "sample" and operation.arguments.get("strategy") == "diverse":
            return self._unembedded()
        return []

    def has_applied(self, key: str) -> bool:
        """Whether an operation of this idempotency key is part of this state."""
        return key in self._delta.results

    def apply(self, operation: Operation, vectors: Mapping[str, np.ndarray] | None = None) -> Result:
        """Does what the operation asks: all of it, or nothing where it raises.

        A mutation whose key was applied before changes nothing and returns the first result. One that was refused
        leaves no trace, and its key stays free.

        Args:
            operation: a mutation or a read.
            vectors: embeddings by text, for those of ``texts_to_embed``; the bank's embedder computes the others.

        Returns:
            What the method named like ``operation.kind`` returns.

        Raises:
            FieldError: an argument is not allowed, or the key belongs to another operation.
            UnknownMemoryError: an id is not in the bank.
        """
        if not operation.is_mutation:
            return self._read(operation, vectors or {})
        if operation.key in self._delta.results:
            first, result = self._delta.results[operation.key]
            if first != operation:
                raise FieldError("key", operation.key, f"a new key; this one belongs to another {first.kind}")
            return _handed_out(result)
        change = plan(self, operation, self._new_ids())
        self._write(change)
        self._delta.journal.append(operation)
        if operation.key:
            self._delta.results[operation.key] = (operation, change.result)
        return _handed_out(change.result)

    def create(
        self,
        content: str,
        memory_type: str = "episodic",
        metadata: Mapping[str, JSON] | None = None,
        source: str = "",
        *,
        speaker: str = "",
        session: int | None = None,
        session_date: str = "",
        evidence: Sequence[str] = (),
    ) -> Memory:
        """Adds a memory and returns it, with its new id.

        Raises:
            FieldError: a field is not allowed.
        """
        return self._one(
            "create",
            content=content,
            memory_type=memory_type,
            metadata=metadata,
            source=source,
            speaker=speaker,
            session=session,
            session_date=session_date,
            evidence=_listed(evidence),
        )

    def update(
        self,
        memory_id: str,
        content: str,
        memory_type: str | None = None,
        metadata: Mapping[str, JSON] | None = None,
        source: str | None = None,
    ) -> Memory:
        """Changes a memory in place and returns it; what is not given stays.

        Raises:
            FieldError: a field is not allowed.
            UnknownMemoryError: the id is not in the bank.
        """
        return self._one(
            "update", memory_id=memory_id, content=content, memory_type=memory_type, metadata=metadata, source=source
        )

    def put(
        self,
        memory_id: str,
        content: str,
        memory_type: str = "episodic",
        metadata: Mapping[str, JSON] | None = None,
        source: str = "",
        *,
        speaker: str = "",
        session: int | None = None,
        session_date: str = "",
        evidence: Sequence[str] = (),
    ) -> Memory:
        """Creates a memory under a given id, or replaces all of the one that has it, in its place; returns it.

        For stores whose users choose the ids. The bank's own ids ``m{n}`` stay clear of every id that was put.

        Raises:
            FieldError: a field is not allowed.
        """
        return self._one(
            "put",
            memory_id=memory_id,
            content=content,
            memory_type=memory_type,
            metadata=metadata,
            source=source,
            speaker=speaker,
            session=session,
            session_date=session_date,
            evidence=_listed(evidence),
        )

    def delete(self, memory_id: str, reason: str = "") -> Memory:
        """Removes a memory and returns it; the reason is in the journal.

        Raises:
            UnknownMemoryError: the id is not in the bank.
        """
        return self._one("delete", memory_id=memory_id, reason=reason)

    def merge(self, memory_ids: Sequence[str], strategy: str) -> Memory:
        """Replaces 2 to 5 memories by one, added at the end; see ``merging`` for the strategies.

        Raises:
            FieldError: ids or strategy are not allowed, the memories share nothing to extract, or the text is too long.
            UnknownMemoryError: an id is not in the bank.
        """
        return self._one("merge", memory_ids=_listed(memory_ids), strategy=strategy)

    def split(self, memory_id: str, split_criteria: str, max_parts: int = 3) -> list[Memory]:
        """Replaces a memory by 2 to ``max_parts`` parts, added at the end; see ``splitting`` for the criteria.

        Raises:
            FieldError: an argument is not allowed, or the content cannot be split this way.
            UnknownMemoryError: the id is not in the bank.
        """
        result = self.apply(
            Operation("split", {"memory_id": memory_id, "split_criteria": split_criteria, "max_parts": max_parts})
        )
        assert isinstance(result, list)
        return result  # type: ignore[return-value]

    def _one(self, kind: str, **arguments: Any) -> Memory:
        result = self.apply(Operation(kind, arguments))
        assert isinstance(result, Memory)
        return result

    def _read(self, operation: Operation, vectors: Mapping[str, np.ndarray]) -> Result:
        arguments: dict[str, Any] = dict(operation.arguments)
        if vectors:
            self.embed_written(vectors)
        if operation.kind == "search":
            return self.search(**arguments, vector_D=vectors.get(checked_text("query", arguments["query"])))
        result: Result = getattr(self, operation.kind)(**arguments)
        return result

    def _new_ids(self) -> Iterator[str]:
        number = self._delta.next_number
        while True:
            yield f"m{number}"
            number += 1

    def _write(self, change: Change) -> None:
        if not self._owns_delta:
            self._delta = self._delta.copy()
            self._owns_delta = True
        delta, base = self._delta, self._base
        for memory_id in change.removed:
            slot = self._known(memory_id)
            delta.characters -= len(self._at(slot).content)
            if slot in delta.memories:
                delta.drop(slot)
            if slot < len(base):
                delta.hide(slot)
            else:
                del delta.slots[memory_id]
        for memory in change.written:
            if memory.id in self:
                slot = self._known(memory.id)
                delta.characters -= len(self._at(slot).content)
                if slot < len(base):
                    delta.hide(slot)
            else:
                slot = len(base) + delta.created
                delta.slots[memory.id] = slot
                delta.created += 1
                delta.next_number = max(delta.next_number, number_of(memory.id) + 1)
            delta.characters += len(memory.content)
            delta.put(slot, memory)


def _listed(value: Any) -> Any:
    # A tuple is a list in JSON; anything else is judged with the other arguments.
    return list(value) if isinstance(value, (tuple, list)) else value


def _handed_out(result: Memory | list[Memory]) -> Memory | list[Memory]:
    # The first result of a key must not change with a caller's copy of it.
    return list(result) if isinstance(result, list) else result
