"""The interface of a broker: all calls on banks, with their arguments and documentation.

``MemoryBroker`` answers the calls in this process. ``MemoryStoreManager`` sends them to the Ray actors of a broker.
Code that takes a ``BankService`` works with both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from memupdate.broker.conversations import NO_CONVERSATION
from memupdate.broker.registry import OpenBank
from memupdate.broker.results import BankStats, Evaluation, FinalState, MemoryRecord, Opened, Outcome
from memupdate.memory import Operation

Answer = TypeVar("Answer")


class BankService(ABC):
    """Memory banks, each under a namespace.

    A namespace must be opened before use. A call on a namespace that is not open raises ``UnknownNamespaceError`` and
    never creates an empty bank. Calls on one namespace are answered in the order of their arrival. Calls on different
    namespaces do not wait for each other. With a journal, a change is acknowledged, and visible to other calls, only
    when it is on disk.

    A call raises ``JournalError`` if its change cannot be written to disk; the bank then stays as it was. A call of a
    Ray client raises ``BrokerDeadlineError`` if a shard does not answer in time, and ``ReshardedError`` if the broker
    was restarted with another number of shards.
    """

    @abstractmethod
    async def ping(self) -> dict[str, int]:
        """Checks that the broker answers.

        Returns:
            ``namespaces``, the number of open namespaces, and ``embedded``, the number of texts that were embedded
            since the broker started.
        """

    @abstractmethod
    async def open(self, namespace: str, sample_id: str = NO_CONVERSATION, key: str = "") -> Opened:
        """Opens a namespace on a new bank that starts with a conversation's memories, or with the early ones of them.

        Opening an open namespace again changes nothing.

        Args:
            namespace: the name of the namespace.
            sample_id: the conversation's id, for all of its memories. ``{sample_id}@D5:1`` is for those that were
                learned before turn 1 of session 5. Empty for a bank without memories.
            key: the idempotency key. A repeated call with the same key also answers ``created``.

        Raises:
            FieldError: there is no such conversation, what follows ``@`` is not a turn, the namespace is open on
                another bank, or its name is longer than ``routing.MAX_NAMESPACE_CHARACTERS``.
            DataError: the conversation's file is broken, or its memories do not tell when they were learned.
        """

    @abstractmethod
    async def fork(self, namespace: str, parent: str, key: str = "") -> Opened:
        """Opens a namespace on a copy of another namespace's present bank. Neither sees later edits of the other.

        A fork takes microseconds for a bank of any size.

        Args:
            namespace: the name of the new namespace.
            parent: an open namespace. It may be a fork itself.
            key: as for ``open``.

        Raises:
            UnknownNamespaceError: the parent is not open.
            FieldError: the namespace is open already and not a fork of this parent.
        """

    @abstractmethod
    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """Applies the operations of one turn, in order.

        A refused operation changes nothing, and the others are still applied. With a journal, either all changes of a
        turn are on disk or none of them.

        Args:
            namespace: the namespace of the bank.
            operations: mutations and reads.

        Returns:
            One outcome for each operation, in order. A turn that is sent again, with the same keys, gets the outcomes
            of the first time, also those of its reads and refused operations.
        """

    @abstractmethod
    async def run_together(self, turns: Mapping[str, Sequence[Operation]]) -> dict[str, list[Outcome]]:
        """Applies turns on several namespaces: all of them or none, also if the broker dies in between.

        Other calls see the changes of all the turns or of none. If a bank refuses an operation, nothing is applied.
        Only a delete of a memory that is not there does not stop the others; its outcome holds the refusal.

        Args:
            turns: the operations of each namespace. All namespaces must be open, and on the same shard.

        Returns:
            The outcomes of each namespace's operations, in order.

        Raises:
            RefusedError: a bank refused an operation. Nothing was applied.
            FieldError: the namespaces are on several shards. Nothing was applied.
        """

    @abstractmethod
    async def evaluate(self, namespace: str, question: str, top_k: int = 5) -> Evaluation:
        """Returns what a reward needs of the namespace's initial bank and of its present bank.

        Args:
            namespace: the trajectory's namespace.
            question: the query to search for in both banks.
            top_k: the largest number of memories to retrieve from each bank.

        Raises:
            FieldError: the question is empty, or ``top_k`` is below 1.
        """

    @abstractmethod
    async def close(self, namespace: str) -> None:
        """Closes a namespace and frees its bank. Forks of it stay open."""

    @abstractmethod
    async def namespaces(self) -> list[str]:
        """Returns the open namespaces, shard by shard; those of one shard are in the order of opening."""

    @abstractmethod
    async def read(self, namespace: str, question: Callable[[OpenBank], Answer]) -> Answer:
        """Calls a read-only function on a namespace's bank and returns its result.

        The methods below call ``read`` with methods of ``OpenBank``.

        Args:
            namespace: the namespace of the bank.
            question: a function of an ``OpenBank`` that does not change it. Over Ray, the actors must be able to
                import the function.
        """

    async def stats(self, namespace: str) -> BankStats:
        """Returns sizes and counts of a namespace's bank."""
        return await self.read(namespace, OpenBank.stats)

    async def list_memories(self, namespace: str) -> list[MemoryRecord]:
        """Returns all memories of the present bank, in order."""
        return await self.read(namespace, OpenBank.list_memories)

    async def initial_snapshot(self, namespace: str) -> list[MemoryRecord]:
        """Returns all memories of the initial bank, in order. Edits do not change the answer."""
        return await self.read(namespace, OpenBank.initial_snapshot)

    async def final_state(self, namespace: str) -> FinalState:
        """Returns everything that is needed to store a trajectory's bank or to compare it with another."""
        return await self.read(namespace, OpenBank.final_state)
