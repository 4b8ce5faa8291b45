"""The protocol of a broker: every call that banks answer to, with its arguments and its documentation, once.

``MemoryBroker`` answers the calls in this process. ``MemoryStoreManager`` sends them to the Ray actors of a broker.
Code that uses banks takes a ``BankService`` and works with both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from memupdate.broker.conversations import NO_CONVERSATION
from memupdate.broker.registry import OpenBank
from memupdate.broker.results import BankStats, Evaluation, FinalState, MemoryRecord, Opened, Outcome
from memupdate.memory import Operation

Answer = TypeVar("Answer")


class BankService(ABC):
    """Banks by namespace.

    A namespace is opened before it is used: every call about one that is not open raises ``UnknownNamespaceError``,
    and none of them makes an empty bank. Calls about one namespace are answered in the order in which they came; calls
    about different namespaces do not wait for each other. A broker with a journal answers a call that changes a bank
    when the change is on disk, and nobody sees the change before.

    Any call raises ``JournalError`` if the disk refuses what it has to write; then the bank is as it was before. A
    client's calls raise ``BrokerDeadlineError`` if a shard does not answer in time.
    """

    @abstractmethod
    async def ping(self) -> dict[str, int]:
        """Shows that the broker answers.

        Returns:
            ``namespaces``, how many are open, and ``embedded``, how many texts were embedded since the broker started.
        """

    @abstractmethod
    async def open(self, namespace: str, sample_id: str = NO_CONVERSATION, key: str = "") -> Opened:
        """Opens a namespace on a bank of its own that starts with a conversation's memories.

        Opening a namespace again changes nothing.

        Args:
            namespace: its name from now on.
            sample_id: the conversation; empty for a bank without memories.
            key: idempotency key. A call that is repeated with its key gets the answer of the first one.

        Raises:
            FieldError: there is no such conversation, or the namespace is open on another one.
            DataError: the conversation's file is broken.
        """

    @abstractmethod
    async def fork(self, namespace: str, parent: str, key: str = "") -> Opened:
        """Opens a namespace on the present state of another one. Neither sees the other's later edits.

        Costs microseconds, whatever the size of the bank.

        Args:
            namespace: the name of the new namespace.
            parent: an open namespace. It may be a fork itself.
            key: as for ``open``.

        Raises:
            UnknownNamespaceError: the parent is not open.
            FieldError: the namespace is open already and is not a fork of this parent.
        """

    @abstractmethod
    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """Applies the operations of one turn, in order.

        An operation that is refused changes nothing, and the others go on. With a journal, all changes of a turn are
        on disk together, or none of them.

        Returns:
            One outcome for each operation.
        """

    @abstractmethod
    async def evaluate(self, namespace: str, question: str, top_k: int = 5) -> Evaluation:
        """Returns what a reward needs of the bank that the namespace started with, and of the bank as it is now.

        Args:
            namespace: the trajectory's.
            question: what to search for in both.
            top_k: how many memories to find at most.

        Raises:
            FieldError: the question is empty, or ``top_k`` is below 1.
        """

    @abstractmethod
    async def close(self, namespace: str) -> None:
        """Closes a namespace and frees its bank, and no other."""

    @abstractmethod
    async def namespaces(self) -> list[str]:
        """Returns the open namespaces: shard by shard, and in the order of opening there."""

    @abstractmethod
    async def read(self, namespace: str, question: Callable[[OpenBank], Answer]) -> Answer:
        """Returns what a question finds out about a namespace's bank, which it must not change.

        The calls below are such questions.

        Args:
            namespace: whose bank.
            question: a method of ``OpenBank``. Over Ray, any function that the actors can import.
        """

    async def stats(self, namespace: str) -> BankStats:
        """Returns the sizes of a namespace's bank."""
        return await self.read(namespace, OpenBank.stats)

    async def list_memories(self, namespace: str) -> list[MemoryRecord]:
        """Returns every memory of the bank as it is now, in order."""
        return await self.read(namespace, OpenBank.list_memories)

    async def initial_snapshot(self, namespace: str) -> list[MemoryRecord]:
        """Returns every memory that the bank started with, in order. Edits do not change the answer."""
        return await self.read(namespace, OpenBank.initial_snapshot)

    async def final_state(self, namespace: str) -> FinalState:
        """Returns all that is needed to keep or compare a trajectory's bank."""
        return await self.read(namespace, OpenBank.final_state)
