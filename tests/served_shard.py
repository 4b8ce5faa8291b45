"""A shard of the broker in a process of its own, which can be killed and is back at once.

The shard is what Ray's actor runs: ``BrokerShard`` with its threads and its journal. The client is the real one too,
with its retries. Only the transport between them is a socket instead of Ray, because Ray needs seconds to start an
actor again.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Awaitable
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError

from memupdate.broker import MemoryStoreManager
from memupdate.broker.actor import BrokerShard

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["memupdate.broker.actor"])


def serve(folder: str, kind: type[BrokerShard]) -> None:
    """Answers the calls of all connections, each in its own thread, until the process is killed."""
    shard = kind(None, journal_dir=f"{folder}/journal")
    Path(folder, "socket").unlink(missing_ok=True)
    with Listener(f"{folder}/socket", "AF_UNIX", backlog=64) as listener:
        while True:
            threading.Thread(target=_answer, args=(shard, listener.accept()), daemon=True).start()


def _answer(shard: BrokerShard, connection: Connection) -> None:
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            name, arguments = connection.recv()
            try:
                answer: Any = getattr(shard, name)(*arguments)
            except Exception as error:  # noqa: BLE001  the caller raises it
                answer = error
            connection.send(answer)


class _Method:
    def __init__(self, handle: SocketHandle, name: str) -> None:
        self._handle = handle
        self._name = name

    def remote(self, *arguments: object) -> Awaitable[Any]:
        return asyncio.to_thread(self._handle.ask, self._name, arguments)


class SocketHandle:
    """Looks to ``MemoryStoreManager`` like the handle of an actor."""

    def __init__(self, folder: Path) -> None:
        self._address = str(folder / "socket")
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self.call = _Method(self, "call")
        self.run_encoded = _Method(self, "run_encoded")
        self.layout = _Method(self, "layout")

    def ask(self, name: str, arguments: tuple[object, ...]) -> Any:
        """Sends a call and waits for its answer. Raises RayActorError if the process dies, as Ray does."""
        try:
            try:
                connection = self._free.get_nowait()
            except queue.Empty:
                connection = Client(self._address, "AF_UNIX")
            connection.send((name, arguments))
            answer = connection.recv()
        except (EOFError, OSError) as error:
            raise RayActorError from error
        self._free.put(connection)
        if isinstance(answer, Exception):
            raise answer
        return answer


class SocketClient(MemoryStoreManager):
    """The client, with a handle that stays valid when the process is started again."""

    def __init__(self, folder: Path, deadline_s: float) -> None:
        super().__init__([SocketHandle(folder)], deadline_s=deadline_s)

    async def _find_again(self, shard: int) -> None:
        """Does nothing: there is nothing to look up."""


class ServedShard:
    """Keeps a shard running in a process of its own, on a journal in a folder.

    Args:
        folder: an empty folder.
        kind: the shard's class.
    """

    def __init__(self, folder: Path, kind: type[BrokerShard] = BrokerShard) -> None:
        self.folder = folder
        self._kind = kind
        self._process: BaseProcess | None = None

    def answering(self, deadline_s: float = 60.0) -> int:
        """Starts the process if it does not run, waits until it answers, and returns its id."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            process = self._running()
            try:
                SocketHandle(self.folder).ask("layout", ())
            except RayActorError:
                process.join(0.01)
            else:
                assert process.pid is not None
                return process.pid
        raise TimeoutError("the shard does not answer")

    def _running(self) -> BaseProcess:
        if self._process is None or self._process.exitcode is not None:
            assert self._process is None or self._process.exitcode == -signal.SIGKILL, "the shard ended by itself"
            self._process = processes.Process(target=serve, args=(str(self.folder), self._kind), daemon=True)
            self._process.start()
        return self._process

    def kill(self) -> None:
        """Kills the process with SIGKILL and waits until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
