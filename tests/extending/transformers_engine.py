"""A rollout engine: transformers' own ``generate``, one request at a time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import ray
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GenerationConfig
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.rollout.replica import TokenOutput

from memupdate.platform.rollout.snapshot import SnapshotReplica, current_version, mark_current


class GenerateServer:
    """The Ray actor that serves the policy."""

    def __init__(self, config: Any, model_config: Any, rollout_mode: Any, replica_rank: int, root: str) -> None:
        model = omega_conf_to_dataclass(model_config)
        self.config = config
        self.model = AutoModelForCausalLM.from_config(model.hf_config, dtype=torch.float32).eval()
        self.stop_id = model.tokenizer.eos_token_id
        self.root = Path(root)
        self.step: int | None = None
        self.turn = asyncio.Lock()
        if version := current_version(self.root):  # Ray has restarted this actor
            self.load(*version)

    async def launch_server(self) -> tuple[str, int]:
        """Returns the node's address and a number; requests come through Ray, so there is no port."""
        return ray.util.get_node_ip_address(), os.getpid()

    async def snapshot_root(self) -> str:
        """Returns the folder in which the trainer writes each version of the policy."""
        return str(self.root)

    def load(self, folder: Path, step: int | None) -> None:
        """Reads the weights of a version."""
        weights: dict[str, torch.Tensor] = {}
        for part in folder.glob("part-*.safetensors"):
            weights.update(load_file(part))
        self.model.load_state_dict(weights, strict=False)  # tied weights are stored once
        self.step = step

    async def load_snapshot(self, path: str, global_steps: int | None) -> None:
        """Switches to a version of the policy; the trainer calls this after each update."""
        async with self.turn:
            self.load(Path(path), global_steps)
        mark_current(Path(path))

    async def generate(
        self, request_id: str, prompt_ids: list[int], sampling_params: dict[str, Any], **_: Any
    ) -> TokenOutput:
        """Returns the tokens that follow a prompt, with their log-probs."""
        async with self.turn:
            return await asyncio.to_thread(self.answer, list(prompt_ids), sampling_params)

    def answer(self, prompt: list[int], params: dict[str, Any]) -> TokenOutput:
        """Generates with the request's temperature and seed."""
        torch.manual_seed(int(params["sampling_seed"]))
        temperature = float(params["temperature"])
        room = self.config.max_model_len or self.config.prompt_length + self.config.response_length
        settings = GenerationConfig(
            max_new_tokens=min(params.get("max_new_tokens") or self.config.response_length, room - len(prompt)),
            do_sample=temperature > 0,
            temperature=temperature or None,
            top_k=0 if temperature else None,
            eos_token_id=self.stop_id,
            pad_token_id=self.stop_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        with torch.no_grad():
            ids = torch.tensor([prompt])
            found = self.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        tokens = found.sequences[0, len(prompt) :]
        log_probs = torch.log_softmax(torch.cat(found.logits) / (temperature or 1.0), -1)
        return TokenOutput(
            token_ids=tokens.tolist(),
            log_probs=log_probs.gather(1, tokens[:, None])[:, 0].tolist(),
            stop_reason="completed" if tokens[-1] == self.stop_id else None,
            extra_fields={"global_steps": self.step},
        )

    async def set_global_steps(self, global_steps: int) -> None:
        """Sets the step that the next answers are labelled with."""
        self.step = global_steps

    async def wake_up(self) -> None:
        """verl calls this, and the methods below, to free and restore the memory of a GPU; a CPU has none."""

    async def sleep(self) -> None:
        """See ``wake_up``."""

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        """See ``wake_up``."""

    async def resume_generation(self) -> None:
        """See ``wake_up``."""

    async def clear_kv_cache(self) -> None:
        """See ``wake_up``."""

    async def release_kv_cache(self) -> None:
        """See ``wake_up``."""

    async def resume_kv_cache(self) -> None:
        """See ``wake_up``."""


class GenerateReplica(SnapshotReplica):
    """What verl starts: one server for each replica."""

    def server_class(self) -> type:
        """Returns the class of the server."""
        return GenerateServer
