"""The broker's client, with which rollout workers, reward workers and scripts reach the banks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

import ray
from ray.exceptions import RayActorError, RayTaskError

from memupdate.broker.conversations import NO_CONVERSATION
from memupdate.broker.protocol import BankService
from memupdate.broker.registry import OpenBank, UnknownNamespaceError
from memupdate.broker.results import Evaluation, Opened, Outcome, Readings
from memupdate.broker.routing import DEFAULT_BROKER_NAME, check_shards, shard_name, shard_of
from memupdate.broker.service import MemoryBroker
from memupdate.broker.wire import decode_outcomes, encode_turn, new_key, with_keys
from memupdate.errors import FieldError, MemupdateError
from memupdate.memory import Operation, ReadBudget

Answer = TypeVar("Answer")
Arguments = ParamSpec("Arguments")

DEFAULT_DEADLINE_S = 60.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class BrokerNotFoundError(MemupdateError):
    """No broker of this name answered in time."""

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
    """A shard did not answer in time. The operation may have been applied; repeating it with the same key is safe.

    Attributes:
        shard: the shard's actor name.
        namespace: the bank's namespace; empty for a call about the whole shard.
        operation: the call that failed.
        deadline_s: the deadline, in seconds.
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


class _Asked(NamedTuple):
    """A call to a shard.

    Attributes:
        namespace: the bank's namespace; empty for a call about the whole shard.
        told: returns a description of the call for an error message.
        closes: whether the call closes the namespace.
    """

    namespace: str
    told: Callable[[], str]
    closes: bool = False


class MemoryStoreManager(BankService):
    """Async client of one broker over Ray. It sends each call to the namespace's shard, and again if the actor dies.

    Every mutation, ``open`` and ``fork`` has an idempotency key, so a call that is sent twice is applied once. The
    client is cheap and picklable, holds no state of a trajectory, and works on any event loop of the process.

    An error that a caller can cause (``MemupdateError``) is raised with its own type. Any other error of the broker is
    raised as Ray's ``RayTaskError``.

    Args:
        shards: the shards' handles, in order; ``connect`` finds them by name.
        name: the broker's name.
        deadline_s: seconds that a call may take, including all retries.
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
        """Finds the broker by name and waits until it answers.

        Args:
            name: the broker's name.
            deadline_s: seconds to wait now, and later in every call.

        Raises:
            BrokerNotFoundError: it did not answer within ``deadline_s`` seconds.
        """
        deadline = time.monotonic() + deadline_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    first = await _find(name)
                    layout = await _unwrapped(first.layout.remote())
                    others = [await _find(shard_name(name, shard)) for shard in range(1, layout["shards"])]
                return cls([first, *others], name, deadline_s)
            except (ValueError, RayActorError, TimeoutError):  # not started yet, or restarting
                if time.monotonic() + pause_s > deadline:
                    raise BrokerNotFoundError(name, deadline_s) from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def ping(self) -> dict[str, int]:
        answers = await self._ask_all(MemoryBroker.ping)
        return {name: sum(answer[name] for answer in answers) for name in answers[0]}

    async def open(self, namespace: str, sample_id: str = NO_CONVERSATION, key: str = "") -> Opened:
        return await self._ask(MemoryBroker.open, namespace, sample_id, key or new_key())

    async def fork(self, namespace: str, parent: str, key: str = "") -> Opened:
        key = key or new_key()
        home, origin = (shard_of(name, len(self._shards)) for name in (namespace, parent))
        if home == origin:
            return await self._ask(MemoryBroker.fork, namespace, parent, key)
        recipe = await self._ask(MemoryBroker.recipe, parent)
        return await self._ask(MemoryBroker.adopt, namespace, parent, recipe, key)

    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        turn = encode_turn(namespace, operations)  # encoded once, so that a retry has the same keys
        asked = _Asked(namespace, lambda: f"run ({', '.join(one.kind for one in operations)})")
        shard = shard_of(namespace, len(self._shards))
        return decode_outcomes(
            await self._answer(shard, asked, lambda handle: handle.run_encoded.remote(len(self._shards), turn))
        )

    async def run_together(self, turns: Mapping[str, Sequence[Operation]]) -> dict[str, list[Outcome]]:
        shards = len(self._shards)
        homes = {shard_of(namespace, shards) for namespace in turns}
        if not homes:
            return {}
        if len(homes) > 1:
            allowed = f"names on one shard; these are on {len(homes)} of {shards} (memory.broker_shards)"
            raise FieldError("namespaces", list(turns), allowed)
        sent = {namespace: with_keys(operations) for namespace, operations in turns.items()}
        asked = _Asked(", ".join(turns), lambda: "run_together")
        return await self._answer(
            homes.pop(), asked, lambda handle: handle.call.remote(shards, MemoryBroker.run_together, sent)
        )

    async def evaluate(self, namespace: str, question: str, top_k: int = 5) -> Evaluation:
        return await self._ask(MemoryBroker.evaluate, namespace, question, top_k)

    async def readings(self, namespace: str, questions: Sequence[str], budget: ReadBudget) -> Readings:
        return await self._ask(MemoryBroker.readings, namespace, tuple(questions), budget)

    async def close(self, namespace: str) -> None:
        await self._ask(MemoryBroker.close, namespace)

    async def namespaces(self) -> list[str]:
        answers = await self._ask_all(MemoryBroker.namespaces)
        return [namespace for answer in answers for namespace in answer]

    async def read(self, namespace: str, question: Callable[[OpenBank], Answer]) -> Answer:
        asked = _Asked(namespace, lambda: question.__name__)
        shard = shard_of(namespace, len(self._shards))
        return await self._answer(
            shard, asked, lambda handle: handle.call.remote(len(self._shards), MemoryBroker.read, namespace, question)
        )

    async def _ask(
        self,
        method: Callable[Concatenate[MemoryBroker, str, Arguments], Awaitable[Answer]],
        namespace: str,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Answer:
        """Calls a method of the broker on the namespace's shard and returns the result."""
        shard = shard_of(namespace, len(self._shards))
        asked = _Asked(namespace, lambda: method.__name__, closes=method is MemoryBroker.close)
        shards = len(self._shards)
        return await self._answer(
            shard, asked, lambda handle: handle.call.remote(shards, method, namespace, *args, **kwargs)
        )

    async def _ask_all(self, method: Callable[[MemoryBroker], Awaitable[Answer]]) -> list[Answer]:
        """Calls a method of the broker on every shard and returns the results in the order of shards."""
        asked = _Asked("", lambda: method.__name__)
        shards = len(self._shards)
        answers: list[Answer] = await asyncio.gather(
            *(self._answer(shard, asked, lambda handle: handle.call.remote(shards, method)) for shard in range(shards))
        )
        return answers

    async def _answer(self, shard: int, asked: _Asked, send: Callable[[Any], Awaitable[Answer]]) -> Answer:
        """Sends a call to a shard, repeatedly, until the shard answers.

        Args:
            shard: the shard's number.
            asked: the call.
            send: sends the call to an actor's handle.

        Raises:
            BrokerDeadlineError: the shard did not answer in time.
            ReshardedError: the broker was restarted with another number of shards.
        """
        deadline = time.monotonic() + self._deadline_s
        pause_s, problem = _FIRST_PAUSE_S, "no answer"
        while True:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    return await _unwrapped(send(self._shards[shard]))
            except UnknownNamespaceError:
                if asked.closes and problem != "no answer":
                    return cast(Answer, None)  # an earlier attempt closed it, and its answer was lost
                raise
            except RayActorError as error:
                problem = " ".join(str(error).split())
            except TimeoutError:
                pass
            if time.monotonic() + pause_s > deadline:
                name = shard_name(self._name, shard)
                raise BrokerDeadlineError(name, asked.namespace, asked.told(), self._deadline_s, problem)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._find_again(shard)

    async def _find_again(self, shard: int) -> None:
        """Looks up the shard's handle again, because another actor may have its name by now.

        Raises:
            ReshardedError: the broker was restarted with another number of shards.
        """
        with suppress(ValueError):  # no actor has the name (yet); a call to the old handle raises the cause
            self._shards[shard] = await _find(shard_name(self._name, shard))
            return
        with suppress(ValueError, RayActorError):  # perhaps the broker has fewer shards now
            first = await _find(self._name)
            check_shards(len(self._shards), (await _unwrapped(first.layout.remote()))["shards"])


async def _find(name: str) -> Any:
    """Returns the handle of a named actor. Raises ValueError if there is none."""
    return await asyncio.to_thread(ray.get_actor, name)  # a blocking call to Ray's control store


async def _unwrapped(pending: Awaitable[Answer]) -> Answer:
    try:
        return await pending
    except RayTaskError as error:
        if isinstance(error.cause, MemupdateError):
            raise error.cause from error
        raise
