"""The bank of memories: it can be searched, edited, forked and replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from memupdate.errors import FieldError
from memupdate.memory.base import Base, number_of
from memupdate.memory.changes import Change, plan
from memupdate.memory.delta import Delta
from memupdate.memory.embedder import Embedder
from memupdate.memory.operation import Operation, without_keys
from memupdate.memory.record import JSON, Memory, checked_text
from memupdate.memory.search import SearchHit
from memupdate.memory.view import BankView

Result = Memory | list[Memory] | list[SearchHit]


class MemoryBank(BankView):
    """A view of memories that can also be edited.

    A bank is an immutable base, which all forks share, and a delta of its own edits. A fork or a snapshot shares the
    delta too. When the bank is edited after that, it first copies the delta. Every edit is an ``Operation``: it is
    applied whole or not at all, and it is added to the journal.
    """

    __slots__ = ("_inherits", "_owns_delta")

    def __init__(self, base: Base, delta: Delta) -> None:
        """Makes a bank of its parts. Use ``from_memories``, ``from_view`` or ``fork`` instead."""
        super().__init__(base, delta)
        self._owns_delta = False
        self._inherits = False  # whether the delta still has the keys of the bank that this one was forked from

    @classmethod
    def from_memories(
        cls, memories: Iterable[Memory], embedder: Embedder, embeddings_ND: np.ndarray | None = None
    ) -> MemoryBank:
        """Makes a bank that starts with these memories, in this order.

        Args:
            memories: the memories, each with its own id. The ids of new memories count on from the highest ``m{n}``.
            embedder: embeds queries and written content.
            embeddings_ND: float32 unit rows, one for each memory's ``text``. None computes them.

        Raises:
            FieldError: an id occurs twice, or the embeddings have another shape.
        """
        base = Base(memories, embedder, embeddings_ND)
        return cls(base, Delta(base))

    @classmethod
    def from_view(cls, view: BankView) -> MemoryBank:
        """Makes a new bank that starts with the state of a view. This takes microseconds, whatever the view's size.

        The new bank has applied no idempotency key yet: the keys of the view belong to the view's bank.
        """
        if isinstance(view, MemoryBank):
            view._owns_delta = False
        bank = cls(view._base, view._delta)
        bank._inherits = True
        return bank

    @classmethod
    def from_part(cls, view: BankView, slots: Sequence[int]) -> MemoryBank:
        """Makes a bank that starts with some of the memories that another bank started with. It embeds nothing.

        Args:
            view: the other bank, or a view of it. Its edits do not count.
            slots: the places of the memories among the initial ones, from 0, ascending.
        """
        base = view._base.part(slots)
        return cls(base, Delta(base))

    @classmethod
    def replay(cls, base: BankView, operations: Iterable[Operation]) -> MemoryBank:
        """Makes a new bank by applying operations to the state of ``base``, which does not change.

        Args:
            base: the state to start from.
            operations: a journal, in order.

        Raises:
            MemupdateError: an operation cannot be applied, so the journal does not belong to this base.
        """
        bank = cls.from_view(base)
        for operation in operations:
            bank.apply(operation)
        return bank

    def fork(self) -> MemoryBank:
        """Makes a new bank that starts with this state. Neither bank sees the other's later edits or keys."""
        return MemoryBank.from_view(self)

    def snapshot(self) -> BankView:
        """Returns a view of this state. Later edits do not change the view."""
        self._owns_delta = False
        return BankView(self._base, self._delta)

    def texts_to_embed(self, operation: Operation) -> list[str]:
        """Returns the texts whose embeddings ``apply`` will need.

        A caller can use this to compute the embeddings of many banks in one batch. A mutation needs none. A read that
        compares vectors needs those of its query and of the memories that were written since the last such read.

        Raises:
            FieldError: the query is not allowed.
        """
        if operation.kind == "search":
            return [checked_text("query", operation.arguments["query"]), *self._unembedded()]
        if operation.kind == "sample" and operation.arguments.get("strategy") == "diverse":
            return self._unembedded()
        return []

    @property
    def journal(self) -> list[Operation]:
        """The mutations that were applied since the base, in order.

        A fork's journal starts with its parent's. The parent's operations have no keys there, because a key belongs to
        one bank.
        """
        return without_keys(self._delta.journal) if self._inherits else super().journal

    def has_applied(self, key: str) -> bool:
        """Returns whether this bank has applied an operation with this idempotency key."""
        return not self._inherits and key in self._delta.results

    def apply(self, operation: Operation, vectors: Mapping[str, np.ndarray] | None = None) -> Result:
        """Applies an operation whole, or raises an error and changes nothing.

        A mutation whose key was applied before changes nothing and returns the first result. A mutation that raised an
        error is not in the journal, and its key can be used again.

        Args:
            operation: a mutation or a read.
            vectors: embeddings by text, of texts in ``texts_to_embed``. The bank's embedder computes the others.

        Returns:
            The result of the bank's method that is named like ``operation.kind``.

        Raises:
            FieldError: an argument is not allowed, or the key belongs to another operation.
            UnknownMemoryError: an id is not in the bank.
        """
        if not operation.is_mutation:
            return self._read(operation, vectors or {})
        if self.has_applied(operation.key):
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
        """Adds a memory at the end. The arguments are the fields of :class:`Memory`.

        Returns:
            The memory, with its new id.

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
        """Changes a memory, which keeps its place. A field that is not given, or is None, stays as it is.

        Returns:
            The changed memory.

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
        """Adds a memory under an id of the caller's choice, or replaces the whole memory that has this id.

        Stores whose users choose the ids use this. A replaced memory keeps its place. The bank never gives an id that
        was put to a new memory. The other arguments are the fields of :class:`Memory`.

        Returns:
            The memory.

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
        """Removes a memory.

        Args:
            memory_id: the memory's id.
            reason: why, for the journal.

        Returns:
            The memory that was removed.

        Raises:
            FieldError: the reason is not text.
            UnknownMemoryError: the id is not in the bank.
        """
        return self._one("delete", memory_id=memory_id, reason=reason)

    def merge(self, memory_ids: Sequence[str], strategy: str) -> Memory:
        """Replaces 2 to 5 memories by one, which is added at the end.

        Args:
            memory_ids: the ids of the memories, all different.
            strategy: one of ``MERGE_STRATEGIES``; :mod:`memupdate.memory.merging` describes them.

        Returns:
            The new memory.

        Raises:
            FieldError: the ids or the strategy are not allowed, the memories have nothing in common to extract, or the
                merged text is too long.
            UnknownMemoryError: an id is not in the bank.
        """
        return self._one("merge", memory_ids=_listed(memory_ids), strategy=strategy)

    def split(self, memory_id: str, split_criteria: str, max_parts: int = 3) -> list[Memory]:
        """Replaces a memory by 2 to ``max_parts`` memories, which are added at the end.

        Args:
            memory_id: the memory's id.
            split_criteria: one of ``SPLIT_CRITERIA``; :mod:`memupdate.memory.splitting` describes them.
            max_parts: how many parts at most, from 2 to 5.

        Returns:
            The parts.

        Raises:
            FieldError: an argument is not allowed, or the content cannot be split by this criterion.
            UnknownMemoryError: the id is not in the bank.
        """
        result = self.apply(
            Operation("split", {"memory_id": memory_id, "split_criteria": split_criteria, "max_parts": max_parts})
        )
        assert isinstance(result, list)
        return cast("list[Memory]", result)

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
        if self._inherits:
            self._delta.forget_keys()
            self._inherits = False
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
