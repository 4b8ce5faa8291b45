"""Banks by namespace: what the broker's actor owns, as a plain class that knows nothing of Ray."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from memupdate.broker.conversations import Conversations
from memupdate.broker.results import Outcome, memory_record, result_record
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
class _Opened:
    """A namespace's bank and the conversation that it started from."""

    sample_id: str
    bank: MemoryBank


class BankRegistry:
    """Every open namespace with its bank. Not thread-safe: one thread owns it.

    Args:
        conversations: where a namespace's bank starts from.
    """

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations
        self._opened: dict[str, _Opened] = {}

    def __len__(self) -> int:
        """How many namespaces are open."""
        return len(self._opened)

    def open(self, namespace: str, sample_id: str) -> dict[str, JSON]:
        """Start a namespace on a fork of the conversation's bank; opening it again changes nothing.

        Returns:
            ``count``, the memories that it holds now, and ``created``, false if it was open already.

        Raises:
            FieldError: no such conversation, or the namespace is open on another one.
            DataError: the conversation's file is broken.
        """
        opened = self._opened.get(namespace)
        if opened is None:
            if not isinstance(namespace, str) or not namespace:
                raise FieldError("namespace", namespace, "the trajectory's id, as text that is not empty")
            opened = self._opened[namespace] = _Opened(sample_id, self._conversations.fork(sample_id))
            return {"count": len(opened.bank), "created": True}
        if opened.sample_id != sample_id:
            raise FieldError("sample_id", sample_id, f"{opened.sample_id!r}, on which {namespace!r} is open")
        return {"count": len(opened.bank), "created": False}

    def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """Apply the operations of one turn, in order. One that fails changes nothing and the others go on.

        Raises:
            UnknownNamespaceError: the namespace is not open; nothing was applied.
        """
        bank = self._bank(namespace)
        return [self._apply(bank, operation) for operation in operations]

    def _apply(self, bank: MemoryBank, operation: Operation) -> Outcome:
        # With journal_dir (not there yet), a mutation is written to disk here, before it is acknowledged.
        try:
            return Outcome(value=result_record(bank.apply(operation)))
        except MemupdateError as error:
            return Outcome(error=str(error))

    def stats(self, namespace: str) -> dict[str, JSON]:
        """Sizes of a namespace's bank: ``sample_id``, ``count``, ``count_initial``, ``mean_characters``, ``types``
        (count by memory type) and ``mutations`` (length of the journal).

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        bank = self._bank(namespace)
        return {
            "sample_id": self._opened[namespace].sample_id,
            "count": len(bank),
            "count_initial": len(bank.initial),
            "mean_characters": bank.mean_characters(),
            "types": dict(Counter(memory.memory_type for memory in bank)),
            "mutations": len(bank.journal),
        }

    def list_memories(self, namespace: str) -> list[dict[str, JSON]]:
        """Every memory of the bank as it is now, in order.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        return [memory_record(memory) for memory in self._bank(namespace)]

    def initial_snapshot(self, namespace: str) -> list[dict[str, JSON]]:
        """Every memory of the bank as it was when the namespace was opened; edits do not touch it.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        return [memory_record(memory) for memory in self._bank(namespace).initial]

    def final_state(self, namespace: str) -> dict[str, JSON]:
        """All that is needed to keep or compare a trajectory's bank: ``sample_id``, ``digest``, ``memories`` (as
        ``list_memories``) and ``journal`` (the mutations since the initial snapshot).

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        bank = self._bank(namespace)
        return {
            "sample_id": self._opened[namespace].sample_id,
            "digest": bank.digest(),
            "memories": [memory_record(memory) for memory in bank],
            "journal": [operation.to_json() for operation in bank.journal],
        }

    def evaluate(self, namespace: str, question: str, top_k: int = 5) -> dict[str, dict[str, JSON]]:
        """What a reward needs: the initial bank as ``before`` and the present one as ``after``.

        Returns:
            Of each ``count``, ``mean_characters`` (of content) and ``retrieved`` (texts for the question, best first).

        Raises:
            UnknownNamespaceError: the namespace is not open.
            FieldError: an empty question, or a ``top_k`` below 1.
        """
        bank = self._bank(namespace)
        return {"before": _state(bank.initial, question, top_k), "after": _state(bank, question, top_k)}

    def close(self, namespace: str) -> None:
        """Free the namespace's bank, and no other.

        Raises:
            UnknownNamespaceError: the namespace is not open.
        """
        self._bank(namespace)
        del self._opened[namespace]

    def namespaces(self) -> list[str]:
        """The open namespaces, in the order of opening."""
        return list(self._opened)

    def _bank(self, namespace: str) -> MemoryBank:
        opened = self._opened.get(namespace)
        if opened is None:
            raise UnknownNamespaceError(namespace)
        return opened.bank


def _state(bank: BankView, question: str, top_k: int) -> dict[str, JSON]:
    hits = bank.search(question, top_k=top_k)
    return {
        "count": len(bank),
        "mean_characters": bank.mean_characters(),
        "retrieved": [hit.memory.text for hit in hits],
    }
