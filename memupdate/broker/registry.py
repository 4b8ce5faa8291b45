"""Banks by namespace, as a plain class that knows nothing of Ray, disks or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memupdate.broker.conversations import NO_CONVERSATION, Conversations
from memupdate.broker.results import Outcome, memory_record, result_record
from memupdate.broker.routing import checked_namespace
from memupdate.errors import FieldError, MemupdateError
from memupdate.memory import JSON, BankView, MemoryBank, Operation


class UnknownNamespaceError(MemupdateError):
    """A namespace that is not open: a typo, or one that was closed. It never becomes a new, empty bank."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.namespace = namespace

    def __str__(self) -> str:
        return f"namespace: {self.namespace!r} is not open; allowed: one that was opened and not closed yet"


@dataclass(slots=True)
class OpenBank:
    """A namespace's bank and where it comes from.

    Attributes:
        number: of this bank alone; a namespace that is closed and opened again gets another one.
        sample_id: the conversation that it started from.
        bank: its present state.
        parent: the namespace that it was forked from; empty if it was opened.
        key: idempotency key of the opening.
        undo_to: after a turn that failed half-way, how many of the bank's operations count.
    """

    number: int
    sample_id: str
    bank: MemoryBank
    parent: str = ""
    key: str = ""
    undo_to: int | None = None


class BankRegistry:
    """Every open namespace with its bank. Not thread-safe: one thread owns it.

    Args:
        conversations: where a namespace's bank starts from.
    """

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._opened: dict[str, OpenBank] = {}
        self._next_number = 0

    def __len__(self) -> int:
        """How many namespaces are open."""
        return len(self._opened)

    def open(self, namespace: str, sample_id: str = NO_CONVERSATION, key: str = "") -> dict[str, JSON]:
        """Start a namespace on a fork of the conversation's bank; opening it again changes nothing.

        Args:
            namespace: its name from now on.
            sample_id: the conversation; empty for a bank without memories.
            key: repeated calls of one key get the first one's answer.

        Returns:
            ``count``, the memories that it holds now, and ``created``, false if it was open already.

        Raises:
            FieldError: no such conversation, or the namespace is open on another one.
            DataError: the conversation's file is broken.
        """
        opened = self._opened.get(namespace)
        if opened is None:
            return self.add(namespace, self.started(sample_id, key))
        if opened.sample_id != sample_id:
            raise FieldError("sample_id", sample_id, f"{opened.sample_id!r}, on which {namespace!r} is open")
        return _opened_before(opened, key)

    def fork(self, namespace: str, parent: str, key: str = "") -> dict[str, JSON]:
        """Start a namespace on the present state of another one; neither sees the other's later edits.

        Args:
            namespace: the new one's name.
            parent: an open namespace, itself a fork or not.
            key: as for ``open``.

        Returns:
            As ``open``.

        Raises:
            UnknownNamespaceError: the parent is not open.
            FieldError: the namespace is open already, and is no fork of this parent.
        """
        opened = self._opened.get(namespace)
        if opened is None:
            return self.add(namespace, self.forked(parent, key))
        if opened.parent != parent:
            raise FieldError("namespace", namespace, f"one that is not open, or is a fork of {parent!r} already")
        return _opened_before(opened, key)

    def started(self, sample_id: str, key: str, parent: str = "") -> OpenBank:
        """A bank on a conversation, with a number of its own, that no namespace has yet.

        Raises:
            FieldError: no such conversation.
            DataError: the conversation's file is broken.
        """
        return OpenBank(self._number(), sample_id, self._conversations.fork(sample_id), parent, key)

    def forked(self, parent: str, key: str) -> OpenBank:
        """A fork of an open bank, with a number of its own, that no namespace has yet.

        Raises:
            UnknownNamespaceError: the parent is not open.
        """
        origin = self.at(parent)
        return OpenBank(self._number(), origin.sample_id, origin.bank.fork(), parent, key)

    def add(self, namespace: str, opened: OpenBank) -> dict[str, JSON]:
        """Give the bank its namespace; answers as ``open`` does.

        Raises:
            FieldError: the namespace is no name.
        """
        self._opened[checked_namespace(namespace)] = opened
        return {"count": len(opened.bank), "created": True}

    def reserve(self, numbers: int) -> None:
        """Numbers below this one are taken."""
        self._next_number = max(self._next_number, numbers)

    def at(self, namespace: str) -> OpenBank:
        """The namespace's bank and where it comes from.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        opened = self._opened.get(namespace)
        if opened is None:
            raise UnknownNamespaceError(namespace)
        return opened

    def get(self, namespace: str) -> OpenBank | None:
        """As ``at``, but None for a namespace that is not open."""
        return self._opened.get(namespace)

    def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """Apply the operations of one turn, in order. One that fails changes nothing and the others go on.

        Raises:
            UnknownNamespaceError: the namespace is not open; nothing was applied.
        """
        bank = self.at(namespace).bank
        return [apply(bank, operation) for operation in operations]

    def stats(self, namespace: str) -> dict[str, JSON]:
        """Sizes of a namespace's bank: ``sample_id``, ``count``, ``count_initial``, ``mean_characters``, ``types``
        (count by memory type) and ``mutations`` (length of the journal).

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        opened = self.at(namespace)
        bank = opened.bank
        return {
            "sample_id": opened.sample_id,
            "count": len(bank),
            "count_initial": len(bank.initial),
            "mean_characters": bank.mean_characters(),
            "types": dict(Counter(memory.memory_type for memory in bank)),
            "mutations": bank.edits,
        }

    def list_memories(self, namespace: str) -> list[dict[str, JSON]]:
        """Every memory of the bank as it is now, in order.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        return [memory_record(memory) for memory in self.at(namespace).bank]

    def initial_snapshot(self, namespace: str) -> list[dict[str, JSON]]:
        """Every memory of the conversation that the namespace started from; edits do not touch it.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        return [memory_record(memory) for memory in self.at(namespace).bank.initial]

    def final_state(self, namespace: str) -> dict[str, JSON]:
        """All that is needed to keep or compare a trajectory's bank: ``sample_id``, ``digest``, ``memories`` (as
        ``list_memories``) and ``journal`` (the mutations since the initial snapshot).

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        opened = self.at(namespace)
        return {
            "sample_id": opened.sample_id,
            "digest": opened.bank.digest(),
            "memories": [memory_record(memory) for memory in opened.bank],
            "journal": [operation.to_json() for operation in opened.bank.journal],
        }

    def evaluate(
        self, namespace: str, question: str, top_k: int = 5, vectors: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, dict[str, JSON]]:
        """What a reward needs: the initial bank as ``before`` and the present one as ``after``.

        Args:
            namespace: the trajectory's.
            question: what to retrieve for.
            top_k: how many memories at most.
            vectors: embeddings by text, as ``MemoryBank.apply`` takes them for this search.

        Returns:
            Of each ``count``, ``mean_characters`` (of content) and ``retrieved`` (texts for the question, best first).

        Raises:
            UnknownNamespaceError: the namespace is not open.
            FieldError: an empty question, or a ``top_k`` below 1.
        """
        bank = self.at(namespace).bank
        bank.embed_written(vectors)
        vector_D = (vectors or {}).get(question)
        return {
            "before": _state(bank.initial, question, top_k, vector_D),
            "after": _state(bank, question, top_k, vector_D),
        }

    def close(self, namespace: str) -> None:
        """Free the namespace's bank, and no other.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        self.at(namespace)
        del self._opened[namespace]

    def namespaces(self) -> list[str]:
        """The open namespaces, in the order of opening."""
        return list(self._opened)

    def _number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number


def apply(bank: MemoryBank, operation: Operation, vectors: Mapping[str, np.ndarray] | None = None) -> Outcome:
    """What ``MemoryBank.apply`` gives, as data; its error too."""
    try:
        return Outcome(value=result_record(bank.apply(operation, vectors)))
    except MemupdateError as error:
        return Outcome(error=str(error))


def _opened_before(opened: OpenBank, key: str) -> dict[str, JSON]:
    return {"count": len(opened.bank), "created": bool(key) and key == opened.key}


def _state(bank: BankView, question: str, top_k: int, vector_D: np.ndarray | None) -> dict[str, JSON]:
    hits = bank.search(question, top_k=top_k, vector_D=vector_D)
    return {
        "count": len(bank),
        "mean_characters": bank.mean_characters(),
        "retrieved": [hit.memory.text for hit in hits],
    }
