"""The broker's client: what a rollout worker, a reward worker or a script holds to reach the banks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from memupdate.broker.results import Outcome
from memupdate.errors import MemupdateError
from memupdate.memory import JSON, Operation

Answer = TypeVar("Answer")

DEFAULT_BROKER_NAME = "memory_broker"
DEFAULT_DEADLINE_S = 60.0
_RETRY_S = 0.1


class BrokerNotFoundError(MemupdateError):
    """No broker of that name answered in time."""

    def __init__(self, name: str, deadline_s: float) -> None:
        super().__init__(name, deadline_s)
        self.name = name
        self.deadline_s = deadline_s

    def __str__(self) -> str:
        return (
            f"broker_name: no actor {self.name!r} answered within {self.deadline_s:g} s; allowed: a broker that was "
            "started with start_broker in the same Ray namespace and whose handle is still held"
        )


class MemoryStoreManager:
    """Async client of one broker. Cheap, without state of its own, usable from any event loop of the process.

    Errors that a caller can cause (``MemupdateError``) arrive as themselves, not wrapped in Ray's; anything else that
    the broker raises, or its death, arrives as Ray's error.

    Args:
        handle: the broker's actor handle; ``connect`` finds it by name.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @classmethod
    async def connect(
        cls, name: str = DEFAULT_BROKER_NAME, deadline_s: float = DEFAULT_DEADLINE_S
    ) -> MemoryStoreManager:
        """Find the broker by name, waiting for it to start and answer.

        Raises:
            BrokerNotFoundError: it did not within ``deadline_s`` seconds.
        """
        deadline = time.monotonic() + deadline_s
        while True:
            try:
                handle = await asyncio.to_thread(ray.get_actor, name)  # a blocking call to Ray's control store
                break
            except ValueError:  # Ray's way to say that there is no such actor (yet)
                if time.monotonic() + _RETRY_S > deadline:
                    raise BrokerNotFoundError(name, deadline_s) from None
                await asyncio.sleep(_RETRY_S)
        client = cls(handle)
        try:
            await asyncio.wait_for(client.ping(), max(_RETRY_S, deadline - time.monotonic()))
        except TimeoutError:
            raise BrokerNotFoundError(name, deadline_s) from None
        return client

    async def ping(self) -> dict[str, JSON]:
        """As ``MemoryBroker.ping``."""
        return await _answer(self._handle.ping.remote())

    async def open(self, namespace: str, sample_id: str) -> dict[str, JSON]:
        """As ``BankRegistry.open``."""
        return await _answer(self._handle.open.remote(namespace, sample_id))

    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """As ``BankRegistry.run``: several operations travel in one call."""
        return await _answer(self._handle.run.remote(namespace, list(operations)))

    async def stats(self, namespace: str) -> dict[str, Any]:
        """As ``BankRegistry.stats``."""
        return await _answer(self._handle.stats.remote(namespace))

    async def list_memories(self, namespace: str) -> list[dict[str, JSON]]:
        """As ``BankRegistry.list_memories``."""
        return await _answer(self._handle.list_memories.remote(namespace))

    async def initial_snapshot(self, namespace: str) -> list[dict[str, JSON]]:
        """As ``BankRegistry.initial_snapshot``."""
        return await _answer(self._handle.initial_snapshot.remote(namespace))

    async def final_state(self, namespace: str) -> dict[str, Any]:
        """As ``BankRegistry.final_state``."""
        return await _answer(self._handle.final_state.remote(namespace))

    async def evaluate(self, namespace: str, question: str, top_k: int = 5) -> dict[str, dict[str, Any]]:
        """As ``BankRegistry.evaluate``."""
        return await _answer(self._handle.evaluate.remote(namespace, question, top_k))

    async def close(self, namespace: str) -> None:
        """As ``BankRegistry.close``."""
        await _answer(self._handle.close.remote(namespace))

    async def namespaces(self) -> list[str]:
        """As ``BankRegistry.namespaces``."""
        return await _answer(self._handle.namespaces.remote())


async def _answer(pending: Awaitable[Answer]) -> Answer:
    try:
        return await pending
    except RayTaskError as error:
        if isinstance(error.cause, MemupdateError):
            raise error.cause from error
        raise
