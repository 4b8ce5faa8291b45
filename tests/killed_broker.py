"""Eight processes that use a broker while it is killed again and again, and the history of what they saw."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from linearizability import Call, first_violation
from served_shard import ServedShard, SocketClient, processes

from memupdate.broker import BrokerDeadlineError, MemoryStoreManager, Outcome
from memupdate.memory import Operation

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


Connect = Callable[[float], MemoryStoreManager]  # returns a client with a deadline in seconds


async def use(connect: Connect, process: int, place: int, turns: int) -> list[Seen]:
    """Sends turns to the banks of a round, one after another, as one of the processes.

    Args:
        connect: makes a client.
        process: the number of the process.
        place: the number of the round.
        turns: the number of turns to send.

    Returns:
        What was asked and answered.
    """
    rng = random.Random(f"{place} {process}")
    patient, hasty = connect(120), connect(HASTY_S)
    for name in names_of(place):
        await patient.open(name)
    seen = []
    for turn in range(turns):
        name, asked = rng.choice(names_of(place)), random_turn(rng, f"{process}.{turn}")
        seen.append(await one_call(hasty if rng.random() < 0.3 else patient, name, asked))
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
    """Kills a process with SIGKILL, again and again, each time a while after it answered.

    Args:
        answering: waits until the process answers, and returns its id.
        every_s: seconds between an answer and the next kill.
    """

    def __init__(self, answering: Callable[[], int], every_s: float) -> None:
        self.kills = 0
        self._answering = answering
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._killed = self._thread.submit(self._run)

    def stop(self) -> None:
        """Stops killing, and leaves a process that answers. Raises the error that ended the killing, if any."""
        self._stop.set()
        self._killed.result()
        self._thread.shutdown()
        self._answering()

    def _run(self) -> None:
        while True:
            pid = self._answering()
            if self._stop.wait(self._every_s):
                return
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


async def last_reads(client: MemoryStoreManager, place: int) -> list[Seen]:
    """Reads everything of a round once more, and closes its banks."""
    asked = [*(("get", memory_id, "") for memory_id in IDS), ("create", IDS[0], "last")]
    seen = [await one_call(client, name, asked) for name in names_of(place)]
    for name in names_of(place):
        await client.close(name)
    return seen


def check(found: Found, seen: Sequence[Seen]) -> None:
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


def turns_of(operations: int, rounds: int) -> int:
    """Returns how many turns each process sends in a round."""
    return -(-operations // (rounds * PROCESSES * TURN))


def rounds_of(operations: int) -> int:
    """Returns into how many rounds to divide the operations. Each round has new banks, and is checked by itself."""
    return max(1, operations // 50_000)


def run_rounds(
    operations: int,
    everywhere: Callable[[int, int], list[list[Seen]]],
    client: Callable[[], MemoryStoreManager],
    answering: Callable[[], int],
    every_s: float,
) -> Found:
    """Lets the processes use a broker while it is killed, and checks all histories.

    Args:
        operations: how many operations to send at least.
        everywhere: runs ``use`` with a round and a number of turns in all processes, and returns what each saw.
        client: makes a client for the last reads.
        answering: as for ``Killer``.
        every_s: as for ``Killer``.
    """
    found = Found()
    rounds = rounds_of(operations)
    for place in range(rounds):
        killer = Killer(answering, every_s)
        try:
            of_processes = everywhere(place, turns_of(operations, rounds))
        finally:
            killer.stop()
        found.kills += killer.kills
        seen = [call for of_process in of_processes for call in of_process]
        check(found, seen + asyncio.run(last_reads(client(), place)))
    return found


def in_process(folder: Path, process: int, place: int, turns: int) -> list[Seen]:
    """Runs ``use`` on a ``ServedShard``."""
    return asyncio.run(use(functools.partial(SocketClient, folder), process, place, turns))


def use_served(shard: ServedShard, operations: int, *, every_s: float, deadline_s: float) -> Found:
    """Runs the workload on a ``ServedShard``. Its clients are eight processes.

    Args:
        shard: the shard. It is killed at the end.
        operations: how many operations to send at least.
        every_s: as for ``Killer``.
        deadline_s: seconds after which a round is a failure.
    """
    shard.answering()
    with processes.Pool(PROCESSES) as pool:

        def everywhere(place: int, turns: int) -> list[list[Seen]]:
            asked = [(shard.folder, process, place, turns) for process in range(PROCESSES)]
            return pool.starmap_async(in_process, asked, chunksize=1).get(deadline_s)

        try:
            return run_rounds(operations, everywhere, lambda: SocketClient(shard.folder, 120), shard.answering, every_s)
        finally:
            shard.kill()
