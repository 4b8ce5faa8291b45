"""Banks by namespace, as plain classes that know nothing of Ray, disks or waiting."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from memupdate.broker.conversations import NO_CONVERSATION, Conversations
from memupdate.broker.results import BankStats, FinalState, MemoryRecord, Opened, memory_record
from memupdate.broker.routing import checked_namespace
from memupdate.errors import FieldError, MemupdateError
from memupdate.memory import MemoryBank


class UnknownNamespaceError(MemupdateError):
    """A namespace that is not open: it is misspelled, or was closed. It never becomes a new, empty bank."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.namespace = namespace

    def __str__(self) -> str:
        return f"namespace: {self.namespace!r} is not open; allowed: one that was opened and not closed yet"


@dataclass(slots=True)
class OpenBank:
    """A namespace's bank, where it comes from, and the answers to the questions of ``BankService`` that only read it.

    Attributes:
        number: this bank's own. A namespace that is closed and opened again gets another bank with another number.
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
        """Returns the answer to opening it again: a call that repeats the first one, with its key, created it."""
        return {"count": len(self.bank), "created": bool(key) and key == self.key}


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
        """Returns how many namespaces are open."""
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
        """Returns a bank on a conversation, with a number of its own. No namespace has it yet.

        Raises:
            FieldError: there is no such conversation.
            DataError: the conversation's file is broken.
        """
        return OpenBank(self._number(), sample_id, self._conversations.fork(sample_id), parent, key)

    def forked(self, parent: str, key: str) -> OpenBank:
        """Returns a fork of an open bank, with a number of its own. No namespace has it yet.

        Raises:
            UnknownNamespaceError: the parent is not open.
        """
        origin = self.at(parent)
        return OpenBank(self._number(), origin.sample_id, origin.bank.fork(), parent, key)

    def add(self, namespace: str, opened: OpenBank) -> Opened:
        """Gives the bank its namespace, and answers as ``open`` does.

        Raises:
            FieldError: the namespace is not a name.
        """
        self._opened[checked_namespace(namespace)] = opened
        return {"count": len(opened.bank), "created": True}

    def reserve(self, numbers: int) -> None:
        """Gives no bank a number below this one from now on."""
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
