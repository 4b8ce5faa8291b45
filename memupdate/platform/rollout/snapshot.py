"""Weight sync through snapshots: one complete Hugging Face model folder per policy version.

    FSDP ranks --full_tensor()--> rank 0 writes v<step>/part-*.safetensors in a tmpfs --> server loads v<step>

This needs neither CUDA nor torch IPC, and every engine can load such a folder. The link ``current -> v<step>`` lets a
restarted server load the current policy without the trainer. A sync of a tiny model takes five milliseconds.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from safetensors.torch import save_file
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica
from verl.workers.rollout.utils import ensure_async_iterator

from memupdate.errors import MemupdateError
from memupdate.platform.rollout.settings import ServerSettings
from memupdate.platform.rollout.snapshot_folder import make_root

logger = logging.getLogger(__name__)

CURRENT = "current"


def current_version(root: Path) -> tuple[Path, int] | None:
    """Returns the current snapshot and its step, or None before the first weight sync."""
    link = root / CURRENT
    if not link.exists():
        return None
    folder = link.resolve()
    return folder, int(folder.name.removeprefix("v"))


def mark_current(folder: Path) -> None:
    """Points the link ``current`` to a snapshot, atomically."""
    link = folder.parent / f"{CURRENT}.new"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(folder.parent / CURRENT)


class SnapshotWriter:
    """Writes one snapshot: safetensors parts, and links to the other files of the model.

    Args:
        root: the snapshot folder.
        step: the training step, which names the version.
        model_dir: the initial model's folder with config and tokenizer.
        part_bytes: the size at which a part is written to disk.
    """

    def __init__(self, root: Path, step: int, model_dir: Path, part_bytes: int) -> None:
        self.folder = root / f"v{step}"
        self._partial = root / f"partial{step}"
        self._part_bytes = part_bytes
        self._tensors: dict[str, torch.Tensor] = {}
        self._size = 0
        self._parts = 0
        self.count = 0
        shutil.rmtree(self._partial, ignore_errors=True)  # left over from an interrupted sync
        self._partial.mkdir()
        for file in model_dir.iterdir():
            if file.is_file() and file.suffix not in (".safetensors", ".bin") and "index.json" not in file.name:
                (self._partial / file.name).symlink_to(file.resolve())

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Adds a full tensor under its Hugging Face name."""
        self._tensors[name] = tensor.detach().to("cpu").contiguous().clone()
        self._size += tensor.nbytes
        self.count += 1
        if self._size >= self._part_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._tensors:
            save_file(
                self._tensors, str(self._partial / f"part-{self._parts:05d}.safetensors"), metadata={"format": "pt"}
            )
        self._tensors, self._size, self._parts = {}, 0, self._parts + 1

    def close(self) -> Path:
        """Completes the snapshot and returns its folder."""
        self._flush()
        shutil.rmtree(self.folder, ignore_errors=True)  # the same version exists already after a resume
        self._partial.rename(self.folder)
        return self.folder


def server_name(rollout: str, replica_rank: int) -> str:
    """Returns the name of a replica's server actor."""
    return f"memupdate_{rollout}_server_{replica_rank}"


class SnapshotReplica(RolloutReplica):
    """A replica whose server is one Ray actor on the node of the replica's training workers.

    This object lives in the task runner. Ray restarts the server actor (``max_restarts``) and resends interrupted
    requests (``max_task_retries``), so a crash of the engine costs a restart but no trajectory.
    """

    def server_class(self) -> type:
        """Returns the class of the server actor."""
        raise NotImplementedError

    def runtime_env(self, settings: ServerSettings) -> dict[str, Any]:
        """Returns the Ray runtime environment of the server actor. The default is empty."""
        return {}

    async def launch_servers(self) -> None:
        if self.nnodes != 1:
            raise MemupdateError(f"rollout {self.config.name!r} serves a replica on one node, got {self.nnodes} nodes")
        settings = ServerSettings.of(self.config)
        node_id = ray.get_runtime_context().get_node_id()
        if self.workers:
            node_id = await self.workers[0].__ray_call__.remote(lambda self: ray.get_runtime_context().get_node_id())
        root = make_root(settings.snapshot_dir)
        # Ray drops large arguments once the actor has started, and could not restart it then. So they are kept here.
        self._kept = [ray.put(self.config), ray.put(self.model_config)]
        server: Any = (
            ray.remote(self.server_class())
            .options(
                name=server_name(str(self.config.name), self.replica_rank),
                num_cpus=0,
                max_concurrency=self.max_concurrency,
                max_restarts=settings.max_restarts,
                max_task_retries=settings.max_restarts,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
                runtime_env=self.runtime_env(settings),
            )
            .remote(*self._kept, self.rollout_mode, self.replica_rank, str(root))
        )
        host, port = await server.launch_server.remote()
        self.servers = [server]
        self._server_handle = server
        self._server_address = f"{host}:{port}"


class SnapshotWeightPush(BaseRollout):
    """The trainer's side of a weight sync. Every rank of the actor worker has one."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1, **kwargs: Any) -> None:
        super().__init__(config, model_config, device_mesh)
        rank = int(os.environ["RANK"])
        ranks = (
            self.config.tensor_model_parallel_size
            * self.config.data_parallel_size
            * self.config.pipeline_model_parallel_size
        )
        self.replica_rank = rank // ranks if replica_rank == -1 else replica_rank
        self.leads = rank % ranks == 0
        self._server: Any = None
        self._root = Path()

    async def resume(self, tags: list[str]) -> None:
        pass

    async def release(self) -> None:
        pass

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]] | AsyncIterable[tuple[str, torch.Tensor]],
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        if wire_format != "named_tensors" or kwargs.get("peft_config"):
            raise MemupdateError(
                "weight sync by snapshot sends full tensors only: set checkpoint_engine.backend=naive and, "
                "with LoRA, actor_rollout_ref.model.lora.merge=true"
            )
        started = time.perf_counter()
        writer = None
        if self.leads:
            if self._server is None:
                self._server = ray.get_actor(server_name(self.config.name, self.replica_rank))
                self._root = Path(await self._server.snapshot_root.remote())
            part_bytes = int(self.config.checkpoint_engine.update_weights_bucket_megabytes) << 20
            model_dir = Path(str(self.model_config.local_path))
            writer = SnapshotWriter(self._root, int(global_steps or 0), model_dir, part_bytes)
        async for name, tensor in ensure_async_iterator(weights):  # on every rank: full_tensor() is collective
            if writer is not None:
                writer.add(name, tensor)
        if writer is None:
            return
        folder = writer.close()
        await self._server.load_snapshot.remote(str(folder), global_steps)
        for old in self._root.glob("v*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
        seconds = time.perf_counter() - started
        logger.info("weights of step %s: %d tensors in %.3f s", global_steps, writer.count, seconds)
