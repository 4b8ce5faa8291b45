"""The broker as a Ray actor: one service that every process of the cluster finds by name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from memupdate.broker.conversations import Conversations
from memupdate.broker.registry import BankRegistry
from memupdate.broker.results import Outcome
from memupdate.errors import FieldError
from memupdate.memory import JSON, CachingEmbedder, Operation, make_embedder

logger = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

# Calls that wait cost the actor nothing, so that every trajectory of a large batch can have one under way.
MAX_CONCURRENCY = 1000


class MemoryBroker:
    """Answers for a ``BankRegistry`` without ever blocking its event loop.

    One worker thread owns the registry and its embedder. So a slow embedder keeps no ``ping`` waiting, calls are served
    in order of arrival, and no bank is ever touched by two threads.

    Args:
        memories_dir: holds ``{sample_id}.jsonl``.
        embedder: the embedder's name, as ``make_embedder`` takes it.

    Raises:
        FieldError: ``memories_dir`` is not a directory, or there is no such embedder.
    """

    def __init__(self, memories_dir: str, embedder: str = "hashing") -> None:
        self._embedder = CachingEmbedder(make_embedder(embedder))
        self._registry = BankRegistry(Conversations(Path(memories_dir), self._embedder))
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="banks")

    async def _on_worker(
        self, answer: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._worker, lambda: answer(*args, **kwargs))

    async def ping(self) -> dict[str, JSON]:
        """Says that the broker answers: open namespaces, and texts that were embedded since it started."""
        return {"namespaces": len(self._registry), "embedded": self._embedder.computed}

    async def open(self, namespace: str, sample_id: str) -> dict[str, JSON]:
        """As ``BankRegistry.open``."""
        return await self._on_worker(self._registry.open, namespace, sample_id)

    async def run(self, namespace: str, operations: Sequence[Operation]) -> list[Outcome]:
        """As ``BankRegistry.run``."""
        return await self._on_worker(self._registry.run, namespace, operations)

    async def stats(self, namespace: str) -> dict[str, JSON]:
        """As ``BankRegistry.stats``."""
        return await self._on_worker(self._registry.stats, namespace)

    async def list_memories(self, namespace: str) -> list[dict[str, JSON]]:
        """As ``BankRegistry.list_memories``."""
        return await self._on_worker(self._registry.list_memories, namespace)

    async def initial_snapshot(self, namespace: str) -> list[dict[str, JSON]]:
        """As ``BankRegistry.initial_snapshot``."""
        return await self._on_worker(self._registry.initial_snapshot, namespace)

    async def final_state(self, namespace: str) -> dict[str, JSON]:
        """As ``BankRegistry.final_state``."""
        return await self._on_worker(self._registry.final_state, namespace)

    async def evaluate(self, namespace: str, question: str, top_k: int = 5) -> dict[str, dict[str, JSON]]:
        """As ``BankRegistry.evaluate``."""
        return await self._on_worker(self._registry.evaluate, namespace, question, top_k)

    async def close(self, namespace: str) -> None:
        """As ``BankRegistry.close``."""
        await self._on_worker(self._registry.close, namespace)

    async def namespaces(self) -> list[str]:
        """As ``BankRegistry.namespaces``."""
        return await self._on_worker(self._registry.namespaces)


MemoryBrokerActor = ray.remote(MemoryBroker)


def start_broker(config: Mapping[str, Any], deadline_s: float = 120.0) -> Any:
    """Start the broker that a run's config describes, on this node, and wait until it answers.

    The actor lives as long as its handle, and is found by name in the same Ray namespace (by default: the same job).
    For the process that starts a run; it blocks, so not for async code.

    Args:
        config: the config's ``memory`` section: ``memories_dir``, ``embedder`` and ``broker_name`` are read.
        deadline_s: seconds to wait for the actor to start.

    Returns:
        The actor's handle; keep it.

    Raises:
        FieldError: a field is missing, or ``memories_dir`` is not a directory.
        ray.exceptions.RayActorError: the actor could not start; says why.
        ray.exceptions.GetTimeoutError: it did not start in time.
        ValueError: an actor of that name is running already.
    """
    for field in ("memories_dir", "embedder", "broker_name"):
        if not isinstance(config.get(field), str) or not config[field]:
            raise FieldError(f"memory.{field}", config.get(field), "text that is not empty")
    memories_dir = Path(config["memories_dir"]).absolute()  # an actor may run in another working directory
    if not memories_dir.is_dir():
        raise FieldError("memory.memories_dir", str(memories_dir), "a directory that preprocess_locomo wrote")
    # memories_dir is a path of this machine, so the actor stays on it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    handle: Any = MemoryBrokerActor.options(
        name=config["broker_name"], num_cpus=0, max_concurrency=MAX_CONCURRENCY, scheduling_strategy=here
    ).remote(str(memories_dir), config["embedder"])
    ray.get(handle.ping.remote(), timeout=deadline_s)
    logger.info("memory broker %r serves %s", config["broker_name"], memories_dir)
    return handle
