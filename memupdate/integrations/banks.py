"""What a face needs of a broker: the service in this process, or the client of one on Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from memupdate.broker.results import Outcome
from memupdate.errors import MemupdateError
from memupdate.integrations.background import wait_for
from memupdate.memory import Operation


class Banks(Protocol):
    """The part of ``MemoryBroker`` and ``MemoryStoreManager`` that the faces use."""

    async def open(self, namespace: str, sample_id: str = "") -> dict[str, Any]:
        """Open a bank: empty without a ``sample_id``; opening it again changes nothing."""

    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """Apply the operations, in order, and answer each."""

    async def stats(self, namespace: str) -> dict[str, Any]:
        """Sizes of a bank; ``count`` is how many memories it holds."""

    async def list_memories(self, namespace: str) -> list[dict[str, Any]]:
        """Every memory of a bank, in order."""

    async def namespaces(self) -> list[str]:
        """The open banks."""


class RefusedError(MemupdateError):
    """The bank refused an operation; nothing of that operation was applied."""

    def __init__(self, namespace: str, kind: str, reason: str) -> None:
        super().__init__(namespace, kind, reason)
        self.namespace = namespace
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.kind} on bank {self.namespace!r}: {self.reason}"


async def results(banks: Banks, namespace: str, operations: Sequence[Operation]) -> list[Any]:
    """What each operation gave (``Outcome.value``).

    Raises:
        UnknownNamespaceError: the bank is not open.
        RefusedError: the first operation that was refused; those after it were tried too.
    """
    outcomes = await banks.run(namespace, operations)
    for operation, outcome in zip(operations, outcomes, strict=True):
        if outcome.error:
            raise RefusedError(namespace, operation.kind, outcome.error)
    return [outcome.value for outcome in outcomes]


def open_bank(banks: Banks, namespace: str, sample_id: str = "") -> dict[str, Any]:
    """Open a bank from synchronous code, on the loop that the faces use; see ``BankRegistry.open``.

    A broker of this process belongs to one event loop. Whoever gives it to a store or to tools calls it through them.
    """
    return wait_for(banks.open(namespace, sample_id))
