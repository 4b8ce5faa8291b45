"""A registry of banks by namespace, as plain synchronous classes without Ray and without a journal."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from memupdate.broker.conversations import NO_CONVERSATION, Conversations
from memupdate.broker.results import BankStats, FinalState, MemoryRecord, Opened, memory_record
from memupdate.broker.routing import checked_namespace
from memupdate.errors import FieldError, MemupdateError
from memupdate.memory import MemoryBank


class UnknownNamespaceError(MemupdateError):
    """The namespace is not open: it is misspelled, was never opened, or was closed. No empty bank is created for it."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.namespace = namespace

    def __str__(self) -> str:
        return f"namespace: {self.namespace!r} is not open; allowed: one that was opened and not closed yet"


@dataclass(slots=True)
class OpenBank:
    """An open namespace's bank and its origin. Its methods answer the read-only calls of ``BankService``.

    Attributes:
        number: the unique number of this bank. A namespace that is closed and opened again gets a new bank with a new
            number.
        sample_id: the key of the conversation's bank from which the bank started.
        bank: the present state of the bank.
        parent: the namespace from which the bank was forked; empty if it is not a fork.
        key: the idempotency key of the opening.
        undo_to: the number of the bank's operations that remain valid after a turn that failed half-way; None if
            nothing is to be undone.
    """

    number: int
    sample_id: str
    bank: MemoryBank
    parent: str = ""
    key: str = ""
    undo_to: int | None = None

    def stats(self) -> BankStats:
        """See ``BankService.stats``."""
        return {
            "sample_id": self.sample_id,
            "count": len(self.bank),
            "count_initial": len(self.bank.initial),
            "mean_characters": self.bank.mean_characters(),
            "types": dict(Counter(memory.memory_type for memory in self.bank)),
            "mutations": self.bank.edits,
        }

    def list_memories(self) -> list[MemoryRecord]:
        """See ``BankService.list_memories``."""
        return [memory_record(memory) for memory in self.bank]

    def initial_snapshot(self) -> list[MemoryRecord]:
        """See ``BankService.initial_snapshot``."""
        return [memory_record(memory) for memory in self.bank.initial]

    def final_state(self) -> FinalState:
        """See ``BankService.final_state``."""
        return {
            "sample_id": self.sample_id,
            "digest": self.bank.digest(),
            "memories": self.list_memories(),
            "journal": [operation.to_json() for operation in self.bank.journal],
        }

    def opened_before(self, key: str) -> Opened:
        """Returns the answer to a repeated opening. ``created`` is true only if ``key`` is that of the first call."""
        return {"count": len(self.bank), "created": bool(key) and key == self.key}


class BankRegistry:
    """The open namespaces and their banks. Not thread-safe: callers must not use it at the same time.

    Args:
        conversations: the initial banks.
    """

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._opened: dict[str, OpenBank] = {}
        self._next_number = 0

    def __len__(self) -> int:
        """Returns the number of open namespaces."""
        return len(self._opened)

    def open(self, namespace: str, sample_id: str = NO_CONVERSATION, key: str = "") -> Opened:
        """See ``BankService.open``."""
        opened = self._opened.get(namespace)
        if opened is None:
            return self.add(namespace, self.started(sample_id, key))
        if opened.sample_id != sample_id:
            raise FieldError("sample_id", sample_id, f"{opened.sample_id!r}, on which {namespace!r} is open")
        return opened.opened_before(key)

    def fork(self, namespace: str, parent: str, key: str = "") -> Opened:
        """See ``BankService.fork``."""
        opened = self._opened.get(namespace)
        if opened is None:
            return self.add(namespace, self.forked(parent, key))
        if opened.parent != parent:
            raise FieldError("namespace", namespace, f"one that is not open, or is a fork of {parent!r} already")
        return opened.opened_before(key)

    def started(self, sample_id: str, key: str, parent: str = "") -> OpenBank:
        """Returns a new bank on a conversation, with a new number. It is not yet under a namespace.

        Raises:
            FieldError: there is no such conversation.
            DataError: the conversation's file is broken.
        """
        return OpenBank(self._number(), sample_id, self._conversations.fork(sample_id), parent, key)

    def forked(self, parent: str, key: str) -> OpenBank:
        """Returns a fork of an open bank, with a new number. It is not yet under a namespace.

        Raises:
            UnknownNamespaceError: the parent is not open.
        """
        origin = self.at(parent)
        return OpenBank(self._number(), origin.sample_id, origin.bank.fork(), parent, key)

    def add(self, namespace: str, opened: OpenBank) -> Opened:
        """Puts a bank under a namespace and returns the answer of ``open``.

        Raises:
            FieldError: the namespace is not a valid name.
        """
        self._opened[checked_namespace(namespace)] = opened
        return {"count": len(opened.bank), "created": True}

    def reserve(self, numbers: int) -> None:
        """Makes all later banks get a number of at least ``numbers``."""
        self._next_number = max(self._next_number, numbers)

    def at(self, namespace: str) -> OpenBank:
        """Returns the namespace's bank.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        opened = self._opened.get(namespace)
        if opened is None:
            raise UnknownNamespaceError(namespace)
        return opened

    def get(self, namespace: str) -> OpenBank | None:
        """Returns the namespace's bank, or None if the namespace is not open."""
        return self._opened.get(namespace)

    def close(self, namespace: str) -> None:
        """See ``BankService.close``."""
        self.at(namespace)
        del self._opened[namespace]

    def namespaces(self) -> list[str]:
        """Returns the open namespaces, in the order of opening."""
        return list(self._opened)

    def _number(self) -> int:
        number = self._next_number
        self._next_number += 1
        return number
