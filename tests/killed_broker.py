"""Eight processes that use a broker on Ray while it is killed again and again, and the history of what they saw."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from linearizability import Call, first_violation
from ray.exceptions import GetTimeoutError, RayActorError

from memupdate.broker import BrokerDeadlineError, MemoryStoreManager, Outcome
from memupdate.memory import Operation

# A worker of Ray cannot import this module: what is sent there travels as code.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

PROCESSES = 8
NAMESPACES = 4  # in use at the same time
IDS = ("a", "b")
TURN = 10  # operations of a turn, which are one call
HASTY_S = 0.5  # the deadline of a client that does not wait for a restart: the outcome is then unknown

Asked = tuple[str, str, str]  # kind, id, content
Seen = tuple[str, list[Asked], list[str] | None, int, int | None]  # the fields of ``Call``, with plain answers


def random_turn(rng: random.Random, writer: str) -> list[Asked]:
    """Returns the operations of a turn. Every written value is different."""
    asked = []
    for number in range(TURN):
        kind = rng.choices(["put", "get", "delete", "create"], [4, 5, 1, 1])[0]
        asked.append((kind, rng.choice(IDS), f"{writer}.{number}"))
    return asked


def operation(asked: Asked) -> Operation:
    kind, memory_id, content = asked
    if kind == "create":
        return Operation("create", {"content": content})
    return Operation(kind, {"memory_id": memory_id} | ({"content": content} if kind == "put" else {}))


def answer(asked: Asked, outcome: Outcome) -> str:
    """Returns what the model predicts: the value that was read, whether a delete found something, the new id."""
    if asked[0] == "create":
        return str(outcome.memory["id"])
    return "" if outcome.value is None else str(outcome.memory["content"])


INITIAL = (1, *("" for _ in IDS))  # the number of the next new memory, and the content under each id


def bank(state: Hashable, call: Call) -> Iterable[Hashable]:
    """A sequential bank, written without the code of the real one."""
    assert isinstance(state, tuple)
    number, *contents = state
    answers = []
    for kind, memory_id, content in call.asked:
        place = IDS.index(memory_id)
        if kind == "create":
            answers.append(f"m{number}")
            number += 1
        elif kind == "put":
            answers.append(content)
            contents[place] = content
        else:
            answers.append(contents[place])
            if kind == "delete":
                contents[place] = ""
    return [(number, *contents)] if call.ended is None or answers == call.answer else []


class Client:
    """A process that sends turns to the namespaces of a round, one after another."""

    def __init__(self, broker: str, number: int) -> None:
        self._broker = broker
        self._number = number

    def run(self, place: int, turns: int) -> list[Seen]:
        """Sends turns and returns what was asked and answered."""
        return asyncio.run(self._run(place, turns))

    async def _run(self, place: int, turns: int) -> list[Seen]:
        rng = random.Random(f"{place} {self._number}")
        patient = await MemoryStoreManager.connect(self._broker, deadline_s=120)
        hasty = MemoryStoreManager(patient._shards, self._broker, deadline_s=HASTY_S)
        for name in names_of(place):
            await patient.open(name)
        seen = []
        for turn in range(turns):
            name, asked = rng.choice(names_of(place)), random_turn(rng, f"{self._number}.{turn}")
            client = hasty if rng.random() < 0.3 else patient
            seen.append(await one_call(client, name, asked))
        return seen


def names_of(place: int) -> list[str]:
    return [f"round {place}, bank {number}" for number in range(NAMESPACES)]


async def one_call(client: MemoryStoreManager, name: str, asked: list[Asked]) -> Seen:
    begun = time.monotonic_ns()  # the same clock in all processes of a machine
    try:
        outcomes = await client.run(name, [operation(one) for one in asked])
    except BrokerDeadlineError:
        return name, asked, None, begun, None
    ended = time.monotonic_ns()
    return name, asked, [answer(*pair) for pair in zip(asked, outcomes, strict=True)], begun, ended


class Killer:
    """Kills a broker's shard with SIGKILL, again and again, each time a while after it answered."""

    def __init__(self, shard: Any, every_s: float) -> None:
        self.kills = 0
        self._shard = shard
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="killer")

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                pid: int = ray.get(self._shard.__ray_call__.remote(lambda self: os.getpid()), timeout=5)
            except (RayActorError, GetTimeoutError):  # restarting
                self._stop.wait(0.05)
                continue
            if not self._stop.wait(self._every_s):
                os.kill(pid, signal.SIGKILL)
                self.kills += 1


@dataclass
class Found:
    """What a run of the workload found.

    Attributes:
        operations: how many operations were sent.
        writes: how many acknowledged operations were put, create or delete.
        unknown: how many operations have an unknown outcome.
        kills: how often the broker was killed.
        violations: the histories of banks that are not linearizable, by the call that cannot be explained.
        banks: how many histories were checked.
    """

    operations: int = 0
    writes: int = 0
    unknown: int = 0
    kills: int = 0
    banks: int = 0
    violations: tuple[Call, ...] = ()


def use_and_kill(broker: str, shard: Any, operations: int, *, rounds: int, every_s: float, deadline_s: float) -> Found:
    """Lets the processes use a running broker while it is killed, and checks all histories.

    Args:
        broker: the broker's name.
        shard: the handle of its only shard.
        operations: how many operations to send at least.
        rounds: into how many rounds to divide them. Each round uses new banks.
        every_s: seconds between an answer of the broker and the next kill.
        deadline_s: seconds after which a round is a failure.
    """
    found = Found()
    turns = -(-operations // (rounds * PROCESSES * TURN))
    clients = [ray.remote(num_cpus=0)(Client).remote(broker, number) for number in range(PROCESSES)]
    try:
        with Killer(shard, every_s) as killer:
            for place in range(rounds):
                of_processes = ray.get([client.run.remote(place, turns) for client in clients], timeout=deadline_s)
                seen = [call for of_process in of_processes for call in of_process]
                seen += asyncio.run(last_reads(broker, place))
                count(found, seen)
        found.kills = killer.kills
    finally:
        for client in clients:
            ray.kill(client)
    return found


async def last_reads(broker: str, place: int) -> list[Seen]:
    """Reads everything of a round once more, and closes its banks."""
    client = await MemoryStoreManager.connect(broker, deadline_s=120)
    asked = [*(("get", memory_id, "") for memory_id in IDS), ("create", IDS[0], "last")]
    seen = [await one_call(client, name, asked) for name in names_of(place)]
    for name in names_of(place):
        await client.close(name)
    return seen


def count(found: Found, seen: Sequence[Seen]) -> None:
    """Checks the histories of a round, and adds to what was found."""
    for name in sorted({call[0] for call in seen}):
        history = [Call(*call) for call in seen if call[0] == name]
        violation = first_violation(history, INITIAL, bank)
        found.banks += 1
        found.violations += () if violation is None else (violation,)
        for call in history:
            found.operations += len(call.asked)
            if call.ended is None:
                found.unknown += len(call.asked)
            else:
                found.writes += sum(kind != "get" for kind, _, _ in call.asked)
