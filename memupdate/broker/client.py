"""The broker's client: what a rollout worker, a reward worker or a script holds to reach the banks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError, RayTaskError

from memupdate.broker.conversations import NO_CONVERSATION
from memupdate.broker.registry import UnknownNamespaceError
from memupdate.broker.results import Outcome
from memupdate.broker.routing import DEFAULT_BROKER_NAME, shard_name, shard_of
from memupdate.broker.wire import decode_outcomes, encode_turn, new_key
from memupdate.errors import MemupdateError
from memupdate.memory import JSON, Operation

Answer = TypeVar("Answer")

DEFAULT_DEADLINE_S = 60.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


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


class BrokerDeadlineError(MemupdateError):
    """A shard did not answer in time. What was asked may have happened; asking again with the same key is safe.

    Attributes:
        shard: the shard's actor name.
        namespace: whose bank it was about; empty for a question about the shard.
        operation: what was asked.
        deadline_s: seconds that it had.
        problem: why the last attempt failed.
    """

    def __init__(self, shard: str, namespace: str, operation: str, deadline_s: float, problem: str) -> None:
        super().__init__(shard, namespace, operation, deadline_s, problem)
        self.shard = shard
        self.namespace = namespace
        self.operation = operation
        self.deadline_s = deadline_s
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"broker shard {self.shard!r} did not answer {self.operation} of namespace {self.namespace!r} within "
            f"{self.deadline_s:g} s ({self.problem}); allowed: a shard that runs, or restarts, within the deadline"
        )


class MemoryStoreManager:
    """Async client of one broker: finds a namespace's shard, and asks again through the death of its actor.

    Every mutation gets an idempotency key before it is first sent, and so do ``open`` and ``fork``: whatever is sent
    twice happens once. Cheap, picklable, without state of a trajectory, usable from any event loop of the process.

    Errors that a caller can cause (``MemupdateError``) arrive as themselves, not wrapped in Ray's; anything else that
    the broker raises arrives as Ray's error.

    Args:
        shards: the actors' handles in the order of shards; ``connect`` finds them by name.
        name: the broker's.
        deadline_s: seconds that a call may take, with all its retries.
    """

    def __init__(
        self, shards: Sequence[Any], name: str = DEFAULT_BROKER_NAME, deadline_s: float = DEFAULT_DEADLINE_S
    ) -> None:
        self._shards = list(shards)
        self._name = name
        self._deadline_s = deadline_s

    @classmethod
    async def connect(
        cls, name: str = DEFAULT_BROKER_NAME, deadline_s: float = DEFAULT_DEADLINE_S
    ) -> MemoryStoreManager:
        """Find the broker by name, waiting for it to start and answer.

        Args:
            name: the broker's.
            deadline_s: seconds for that, and later for every call.

        Raises:
            BrokerNotFoundError: it did not within ``deadline_s`` seconds.
        """
        deadline = time.monotonic() + deadline_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    first = await _find(name)
                    layout = await _answer(first.layout.remote())
                    others = [await _find(shard_name(name, shard)) for shard in range(1, layout["shards"])]
                return cls([first, *others], name, deadline_s)
            except (ValueError, RayActorError, TimeoutError):  # not there yet, or between two lives
                if time.monotonic() + pause_s > deadline:
                    raise BrokerNotFoundError(name, deadline_s) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def ping(self) -> dict[str, int]:
        """As ``MemoryBroker.ping``, summed over the shards."""
        answers = await self._ask_all("ping")
        return {name: sum(answer[name] for answer in answers) for name in answers[0]}

    async def open(self, namespace: str, sample_id: str = NO_CONVERSATION, key: str = "") -> dict[str, JSON]:
        """As ``MemoryBroker.open``."""
        return await self._ask_for(namespace, "open", sample_id, key or new_key())

    async def fork(self, namespace: str, parent: str, key: str = "") -> dict[str, JSON]:
        """As ``MemoryBroker.fork``, wherever the two namespaces live."""
        key = key or new_key()
        home, origin = (shard_of(name, len(self._shards)) for name in (namespace, parent))
        if home == origin:
            return await self._ask_for(namespace, "fork", parent, key)
        recipe = await self._ask_for(parent, "recipe")
        return await self._ask_for(namespace, "adopt", parent, recipe, key)

    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """As ``MemoryBroker.run``: the operations of a turn travel in one call."""
        shard = shard_of(namespace, len(self._shards))
        turn = encode_turn(namespace, operations)  # once: what is sent again has the same keys
        return decode_outcomes(await self._ask(shard, namespace, "run_encoded", (turn,), operations))

    async def stats(self, namespace: str) -> dict[str, Any]:
        """As ``MemoryBroker.stats``."""
        return await self._ask_for(namespace, "stats")

    async def list_memories(self, namespace: str) -> list[dict[str, JSON]]:
        """As ``MemoryBroker.list_memories``."""
        return await self._ask_for(namespace, "list_memories")

    async def initial_snapshot(self, namespace: str) -> list[dict[str, JSON]]:
        """As ``MemoryBroker.initial_snapshot``."""
        return await self._ask_for(namespace, "initial_snapshot")

    async def final_state(self, namespace: str) -> dict[str, Any]:
        """As ``MemoryBroker.final_state``."""
        return await self._ask_for(namespace, "final_state")

    async def evaluate(self, namespace: str, question: str, top_k: int = 5) -> dict[str, dict[str, Any]]:
        """As ``MemoryBroker.evaluate``."""
        return await self._ask_for(namespace, "evaluate", question, top_k)

    async def close(self, namespace: str) -> None:
        """As ``MemoryBroker.close``."""
        await self._ask_for(namespace, "close")

    async def namespaces(self) -> list[str]:
        """The open namespaces: shard by shard, and in the order of opening there."""
        answers = await self._ask_all("namespaces")
        return [namespace for answer in answers for namespace in answer]

    async def _ask_all(self, method: str) -> list[Any]:
        shards = range(len(self._shards))
        return await asyncio.gather(*(self._ask(shard, "", method) for shard in shards))

    async def _ask_for(self, namespace: str, method: str, *args: Any) -> Any:
        shard = shard_of(namespace, len(self._shards))
        return await self._ask(shard, namespace, method, (namespace, *args))

    async def _ask(
        self,
        shard: int,
        namespace: str,
        method: str,
        args: tuple[Any, ...] = (),
        operations: Sequence[Operation] | None = None,
    ) -> Any:
        """Asks a shard until it answers; ``operations`` are a turn's, for an error to tell.

        Raises:
            BrokerDeadlineError: it did not in time.
        """
        deadline = time.monotonic() + self._deadline_s
        pause_s, problem = _FIRST_PAUSE_S, "no answer"
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    return await _answer(getattr(self._shards[shard], method).remote(*args))
            except UnknownNamespaceError:
                if method == "close" and problem != "no answer":
                    return None  # an earlier attempt closed it, and its answer was lost
                raise
            except RayActorError as error:
                problem = " ".join(str(error).split())
            except TimeoutError:
                pass
            if time.monotonic() + pause_s > deadline:
                told = method if operations is None else f"run ({', '.join(one.kind for one in operations)})"
                raise BrokerDeadlineError(shard_name(self._name, shard), namespace, told, self._deadline_s, problem)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            await self._find_again(shard)

    async def _find_again(self, shard: int) -> None:
        """Takes a fresh handle: the actor of this name may be another one by now."""
        try:
            self._shards[shard] = await _find(shard_name(self._name, shard))
        except ValueError:
            return  # nobody has the name (yet); the old handle says why, if it is asked again


async def _find(name: str) -> Any:
    """The handle of a named actor; raises ValueError where there is none."""
    return await asyncio.to_thread(ray.get_actor, name)  # a blocking call to Ray's control store


async def _answer(pending: Awaitable[Answer]) -> Answer:
    try:
        return await pending
    except RayTaskError as error:
        if isinstance(error.cause, MemupdateError):
            raise error.cause from error
        raise
