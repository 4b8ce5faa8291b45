"""How the faces for other frameworks use a broker."""

from __future__ import annotations

from collections.abc import Sequence

from memupdate.broker import BankService
from memupdate.broker.results import Opened, Outcome
from memupdate.errors import MemupdateError
from memupdate.integrations.background import wait_for
from memupdate.memory import Operation


class RefusedError(MemupdateError):
    """A bank refused an operation. Nothing of that operation was applied.

    Attributes:
        namespace: whose bank.
        kind: the operation's kind.
        reason: why it was refused, in words.
    """

    def __init__(self, namespace: str, kind: str, reason: str) -> None:
        super().__init__(namespace, kind, reason)
        self.namespace = namespace
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.kind} on bank {self.namespace!r}: {self.reason}"


async def run_all(banks: BankService, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
    """Applies the operations and returns their outcomes, none of which is a refusal.

    Raises:
        UnknownNamespaceError: the bank is not open.
        RefusedError: the bank refused an operation, and this is the first one. The operations after it were tried too.
    """
    outcomes = await banks.run(namespace, operations)
    for operation, outcome in zip(operations, outcomes, strict=True):
        if outcome.error:
            raise RefusedError(namespace, operation.kind, outcome.error)
    return outcomes


def open_bank(banks: BankService, namespace: str, sample_id: str = "") -> Opened:
    """Opens a bank from synchronous code; see ``BankService.open``.

    It uses the event loop of the faces. A broker of this process belongs to one event loop, so code that gives a broker
    to a store or to tools calls it through them, and through this function.
    """
    return wait_for(banks.open(namespace, sample_id))
