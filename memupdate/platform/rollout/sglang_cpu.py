"""The rollout engine ``sglang_cpu``: verl's SGLang server on a CPU, with weight sync through snapshots.

This module must not import sglang, because it also runs in the task runner, which has no import stubs. Only the server
actor and its child processes have the stubs (``runtime_env``). They import sglang in ``sglang_engine``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from memupdate.platform.rollout.settings import ServerSettings
from memupdate.platform.rollout.snapshot import SnapshotReplica, current_version, mark_current

logger = logging.getLogger(__name__)

STUBS = Path(__file__).parent / "stubs"
Result = TypeVar("Result")


def sglang_environment(settings: ServerSettings) -> dict[str, str]:
    """Returns the environment variables of the server's processes. They add stubs for packages without a CPU build."""
    return {
        "PYTHONPATH": str(STUBS),
        "SGLANG_USE_CPU_ENGINE": "1",
        "OMP_NUM_THREADS": str(settings.threads),
    }


class SGLangCPUServer:
    """The server actor. It starts verl's ``SGLangHttpServer`` on first use and watches its processes.

    If an engine process dies or a request takes too long, this process exits. Ray then restarts it and resends the
    interrupted requests, and the new process loads the current snapshot. After ``max_restarts`` restarts, the callers
    get Ray's ``ActorDiedError``. verl has no deadline for requests, so a hung scheduler would hang the run.
    """

    def __init__(self, config: Any, model_config: Any, rollout_mode: Any, replica_rank: int, root: str) -> None:
        from memupdate.platform.rollout.sglang_engine import CPUSGLangEngine

        self._settings = ServerSettings.of(config)
        self._root = Path(root)
        self._engine: Any = CPUSGLangEngine(
            config=config,
            model_config=model_config,
            rollout_mode=rollout_mode,
            workers=[],
            replica_rank=replica_rank,
            node_rank=0,
            nnodes=1,
            cuda_visible_devices="",
            base_gpu_id=0,
        )
        self._launched = False
        self._launching = asyncio.Lock()

    async def _ready(self) -> None:
        async with self._launching:
            if self._launched:
                return
            version = current_version(self._root)
            if version is not None:  # Ray restarted this actor
                self._engine.serve_snapshot(version[0])
            await self._engine.launch_server()
            self._engine.global_steps = version[1] if version is not None else None
            self._engine.watch_children(self._settings.poll_s)
            self._launched = True
            logger.info("SGLang is up: pid %d, children %s", os.getpid(), self._engine.child_processes())

    async def _bounded(self, work: Awaitable[Result]) -> Result:
        limit = self._settings.request_timeout_s
        try:
            return await asyncio.wait_for(work, limit)
        except TimeoutError:  # a hung engine is treated as a crash
            self._engine.die(f"a request took longer than {limit} s")
            raise

    async def _forward(self, method: str, *args: Any, **kwargs: Any) -> Any:
        await self._ready()
        return await self._bounded(getattr(self._engine, method)(*args, **kwargs))

    async def launch_server(self) -> tuple[str, int]:
        """Starts the engine and returns its HTTP address."""
        await self._ready()
        host, port = self._engine.get_server_address()
        return str(host), int(port)

    async def snapshot_root(self) -> str:
        """Returns the folder to which the trainer writes snapshots."""
        return str(self._root)

    async def generate(self, *args: Any, **kwargs: Any) -> Any:
        """Generates token ids from token ids, with verl's arguments."""
        return await self._forward("generate", *args, **kwargs)

    async def load_snapshot(self, path: str, global_steps: int | None) -> None:
        """Loads a policy version, drops the prefix cache, and marks the version as the one to load after a restart."""
        await self._forward("load_snapshot", path)
        self._engine.global_steps = global_steps
        mark_current(Path(path))

    async def status(self) -> dict[str, Any]:
        """Returns the process ids, the policy's step and the counters of the prefix cache."""
        return {
            "pid": os.getpid(),
            "children": self._engine.child_processes(),
            "global_steps": self._engine.global_steps,
            "prefix_cache": dict(self._engine.prefix_cache),
        }

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        """Ends all requests. verl passes ``reject_request``, but its SGLang server does not support it."""
        await self._forward("abort_all_requests")

    # verl's control calls, forwarded unchanged
    async def set_global_steps(self, global_steps: int) -> None:
        await self._forward("set_global_steps", global_steps)

    async def wake_up(self) -> None:
        await self._forward("wake_up")

    async def sleep(self) -> None:
        await self._forward("sleep")

    async def resume_generation(self) -> None:
        await self._forward("resume_generation")

    async def clear_kv_cache(self) -> None:
        await self._forward("clear_kv_cache")

    async def release_kv_cache(self) -> None:
        await self._forward("release_kv_cache")

    async def resume_kv_cache(self) -> None:
        await self._forward("resume_kv_cache")

    async def start_profile(self, **kwargs: Any) -> None:
        await self._forward("start_profile", **kwargs)

    async def stop_profile(self) -> None:
        await self._forward("stop_profile")


class SGLangCPUReplica(SnapshotReplica):
    """verl's replica class for one SGLang server on a CPU."""

    def server_class(self) -> type:
        return SGLangCPUServer

    def runtime_env(self, settings: ServerSettings) -> dict[str, Any]:
        return {"env_vars": sglang_environment(settings)}
