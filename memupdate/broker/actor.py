"""The broker as Ray actors: shards that any process of the cluster finds by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from memupdate.broker.embedder_actor import EmbedderActor, RemoteEmbedder
from memupdate.broker.journal import check_written
from memupdate.broker.journal_folders import check_layout, erase_all, journal_folders
from memupdate.broker.routing import check_shards, embedder_name, shard_name
from memupdate.broker.service import MemoryBroker
from memupdate.broker.shared_loop import SharedLoop
from memupdate.broker.wire import decode_turn, encode_outcomes
from memupdate.checks import check_text
from memupdate.errors import FieldError

logger = logging.getLogger(__name__)

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

# Threads of a shard, one for each call in progress: enough for waiting calls, and few enough for fast switching.
THREADS = 64

_SERVED = "actor:"


class BrokerShard:
    """One shard of a broker. It runs a ``MemoryBroker`` for callers in many threads, which each wait for their answer.

    The methods are not coroutines. For coroutines, Ray would move the arguments of each call, and then the call itself,
    from a thread to the actor's event loop and back, which costs more than most operations.

    Args:
        memories_dir: as for ``MemoryBroker``.
        embedder: as for ``MemoryBroker``, or ``actor:`` followed by the name of an embedder actor.
        journal_dir: the journal's directory, used by this shard alone; None for no journal.
        shards: the broker's number of shards.
    """

    def __init__(
        self, memories_dir: str | None, embedder: str = "hashing", journal_dir: str | None = None, shards: int = 1
    ) -> None:
        remote = RemoteEmbedder(embedder.removeprefix(_SERVED)) if embedder.startswith(_SERVED) else None
        self._broker = MemoryBroker(memories_dir, remote or embedder, journal_dir)
        self._loop = SharedLoop()
        self._shards = shards

    def layout(self) -> dict[str, int]:
        """Returns the broker's layout: ``shards``, the number of shards."""
        return {"shards": self._shards}

    def call(
        self,
        shards: int,
        method: Callable[Concatenate[MemoryBroker, Asked], Coroutine[Any, Any, Answer]],
        *args: Asked.args,
        **kwargs: Asked.kwargs,
    ) -> Answer:
        """Runs any method of the protocol and returns its result: ``call(1, MemoryBroker.evaluate, namespace, text)``.

        Args:
            shards: the number of shards that the client knows.
            method: an async method of ``MemoryBroker``. It is pickled by name.
            args: the method's positional arguments.
            kwargs: the method's keyword arguments.

        Raises:
            ReshardedError: the broker has another number of shards.
        """
        check_shards(shards, self._shards)
        return self._loop.wait_for(method(self._broker, *args, **kwargs))

    def run_encoded(self, shards: int, turn: bytes) -> bytes:
        """Runs a turn encoded as in ``wire`` and returns the encoded outcomes. Uses the event loop only if needed.

        Args:
            shards: the number of shards that the client knows.
            turn: the turn.

        Raises:
            ReshardedError: the broker has another number of shards.
        """
        check_shards(shards, self._shards)
        namespace, operations = decode_turn(turn)
        with self._loop.lock:
            begun = self._broker.begin(namespace, operations)
        if begun is None:
            return encode_outcomes(self._loop.wait_for(self._broker.run(namespace, operations)))
        if begun.on_disk is not None:
            self._broker.write(begun)
            with self._loop.lock:
                self._broker.end(begun)
            check_written(begun.on_disk)
        return encode_outcomes(begun.outcomes)


MemoryBrokerActor: Any = ray.remote(BrokerShard)


@dataclass(frozen=True)
class RunningBroker:
    """The actors of a broker. They live as long as this object.

    Attributes:
        shards: the shards' handles, in order.
        embedder: the embedder actor's handle; None if the shards compute embeddings themselves.
    """

    shards: tuple[Any, ...]
    embedder: Any = None

    def kill(self) -> None:
        """Ends the actors permanently. A journal stays on disk."""
        for actor in (*self.shards, self.embedder):
            if actor is not None:
                ray.kill(actor)


def start_broker(config: Mapping[str, Any], deadline_s: float = 120.0, *, fresh: bool = False) -> RunningBroker:
    """Starts the broker of a run's config on this node and waits until it answers.

    Processes in the same Ray namespace (by default: the same job) find the actors by name. With a journal, a shard that
    dies is restarted with its banks. Without a journal it stays dead, because an empty bank must never replace a lost
    one. Call this in the process that starts a run. It blocks, so do not call it from async code.

    Args:
        config: the config's ``memory`` section with ``memories_dir``, ``embedder`` and ``broker_name``, and optionally
            ``broker_shards`` (default 1) and ``journal_dir`` (default null: no journal).
        deadline_s: seconds to wait for the actors to start.
        fresh: whether to drop the banks that an earlier broker left in the journal.

    Returns:
        The actors. Keep a reference: they end with it.

    Raises:
        FieldError: a field is missing or not allowed.
        JournalError: ``journal_dir`` cannot be written, or a broker that is still running holds it.
        ray.exceptions.RayActorError: an actor failed to start. The message gives the cause.
        ray.exceptions.GetTimeoutError: the actors did not start in time.
        ValueError: an actor of this name is running already.
    """
    for field in ("memories_dir", "embedder", "broker_name"):
        check_text(f"memory.{field}", config.get(field), "text that is not empty")
    memories_dir = Path(config["memories_dir"]).absolute()  # an actor may run in another working directory
    if not memories_dir.is_dir():
        raise FieldError("memory.memories_dir", str(memories_dir), "a directory that preprocess_locomo wrote")
    journals = journal_folders(config.get("journal_dir"), config.get("broker_shards", 1))
    if fresh and journals[0] is not None:
        erase_all(journals[0].parent)
    check_layout(journals)
    name, embedder = config["broker_name"], config["embedder"]
    # memories_dir and journal_dir are paths of this machine, so the actors stay on it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    placed: dict[str, Any] = {"num_cpus": 0, "scheduling_strategy": here}
    model: Any = None
    if embedder.partition(":")[0] != "hashing":
        model = EmbedderActor.options(
            name=embedder_name(name), max_restarts=-1, max_task_retries=-1, max_concurrency=1000, **placed
        ).remote(embedder)
        ray.get(model.describe.remote(), timeout=deadline_s)
        embedder = f"{_SERVED}{embedder_name(name)}"
    shards = tuple(
        MemoryBrokerActor.options(
            name=shard_name(name, shard),
            max_restarts=0 if folder is None else -1,
            max_concurrency=THREADS,
            **placed,
        ).remote(str(memories_dir), embedder, None if folder is None else str(folder), len(journals))
        for shard, folder in enumerate(journals)
    )
    ray.get([handle.layout.remote() for handle in shards], timeout=deadline_s)
    logger.info("memory broker %r serves %s with %d shards", name, memories_dir, len(shards))
    return RunningBroker(shards, model)
