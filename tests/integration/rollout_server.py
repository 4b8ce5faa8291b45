"""A rollout server of the project on a running Ray, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
import torch
from omegaconf import OmegaConf

from memupdate.platform.rollout.snapshot import SnapshotWriter
from memupdate.run.profiles import compose_profile

DEADLINE_S = 120


class Server:
    """A replica's server, with blocking calls for tests."""

    def __init__(self, name: str, model_dir: Path, options: Sequence[str] = ()) -> None:
        from verl.workers.rollout.replica import RolloutMode, RolloutReplicaRegistry

        import memupdate.platform.plugin  # noqa: F401  registers the rollouts

        overrides = [
            "memory.run_dir=none",
            "memory.data_dir=none",
            f"actor_rollout_ref.model.path={model_dir}",
            f"actor_rollout_ref.rollout.name={name}",
            f"actor_rollout_ref.rollout.dtype={'float64' if name == 'torch' else 'float32'}",
            "actor_rollout_ref.rollout.engine_kwargs.memupdate.request_timeout_s=60",
            *options,
        ]
        config = compose_profile("local", overrides)
        OmegaConf.resolve(config)
        self.name, self.model_dir = name, model_dir
        replica = RolloutReplicaRegistry.get(name)(
            0, config.actor_rollout_ref.rollout, config.actor_rollout_ref.model, gpus_per_node=1
        )
        replica.rollout_mode = RolloutMode.HYBRID
        self.replica = replica
        asyncio.run(asyncio.wait_for(replica.launch_servers(), DEADLINE_S))
        self.handle = replica.servers[0]

    def load(self, step: int, state: dict[str, torch.Tensor]) -> None:
        root = Path(ray.get(self.handle.snapshot_root.remote(), timeout=DEADLINE_S))
        writer = SnapshotWriter(root, step, self.model_dir, part_bytes=100_000)  # several parts
        for name, tensor in state.items():
            writer.add(name, tensor)
        ray.get(self.handle.load_snapshot.remote(str(writer.close()), step), timeout=DEADLINE_S)

    def submit(self, prompt: list[int], name: str = "r", **params: Any) -> Any:
        sampling = {"temperature": 0.0, "max_new_tokens": 24, "logprobs": True, **params}
        return self.handle.generate.remote(request_id=name, prompt_ids=prompt, sampling_params=sampling)

    def generate(self, prompt: list[int], name: str = "r", **params: Any) -> Any:
        return ray.get(self.submit(prompt, name, **params), timeout=DEADLINE_S)
