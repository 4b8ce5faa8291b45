"""A small torch rollout server that samples each request with its own seed and returns tokens with log-probs.

With ``rollout.dtype=float64``, a request with a seed gives the same tokens in any batch, which SGLang does not
guarantee on a CPU. The server also supports models that SGLang does not.
:mod:`memupdate.platform.rollout.decoding` contains the decoding loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import ray
import torch
from safetensors.torch import load_file
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import HFModelConfig
from verl.workers.rollout.replica import TokenOutput

from memupdate.errors import FieldError
from memupdate.platform import batch_invariant
from memupdate.platform.rollout.decoding import Request, generate_batch, served_model
from memupdate.platform.rollout.settings import ServerSettings
from memupdate.platform.rollout.snapshot import SnapshotReplica, current_version, mark_current
from memupdate.request_checks import check_ids, check_sampling

logger = logging.getLogger(__name__)

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
# Requests of one step arrive within milliseconds of each other. With this delay they share a batch.
GATHER_S = 0.005


Waiting = tuple[Request, asyncio.Future[TokenOutput]]


class TorchServer:
    """The server actor. It batches waiting requests, generates in a thread, and answers each request."""

    def __init__(self, config: Any, model_config: Any, rollout_mode: Any, replica_rank: int, root: str) -> None:
        from transformers import AutoModelForCausalLM

        if config.dtype not in DTYPES:
            raise FieldError("actor_rollout_ref.rollout.dtype", config.dtype, "one of " + ", ".join(DTYPES))
        torch.set_num_threads(ServerSettings.of(config).threads)
        batch_invariant.enable_if_asked()
        self._config = config
        hf: HFModelConfig = omega_conf_to_dataclass(model_config)
        self._model = AutoModelForCausalLM.from_config(hf.hf_config, dtype=DTYPES[config.dtype]).eval()
        self._served = served_model(self._model)
        tokenizer = hf.tokenizer
        stop = hf.generation_config.eos_token_id if hf.generation_config is not None else None
        stop = tokenizer.eos_token_id if stop is None else stop
        self._stop_ids = frozenset(stop if isinstance(stop, list) else [stop])
        self._max_length = config.max_model_len or config.prompt_length + config.response_length
        self._root = Path(root)
        self._global_steps: int | None = None
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        version = current_version(self._root)
        if version is not None:  # Ray restarted this actor
            self._load(version[0])
            self._global_steps = version[1]

    async def launch_server(self) -> tuple[str, int]:
        """Returns the node's address and the pid. There is no port, because requests come through Ray."""
        return ray.util.get_node_ip_address(), os.getpid()

    async def snapshot_root(self) -> str:
        """Returns the folder to which the trainer writes snapshots."""
        return str(self._root)

    def _load(self, folder: Path) -> None:
        state = {}
        for part in sorted(folder.glob("part-*.safetensors")):
            state.update(load_file(str(part)))
        missing, unexpected = self._model.load_state_dict(state, strict=False)
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        loaded = {id(parameters[name]) for name in state.keys() & parameters.keys()}
        tied = {name for name in missing if name in parameters and id(parameters[name]) in loaded}
        if unexpected or set(missing) - tied:
            raise RuntimeError(f"snapshot {folder}: missing {sorted(missing)}, unexpected {sorted(unexpected)}")

    async def load_snapshot(self, path: str, global_steps: int | None) -> None:
        """Loads a policy version and marks it as the version to load after a restart."""
        await asyncio.to_thread(self._load, Path(path))
        self._global_steps = global_steps
        mark_current(Path(path))

    async def generate(
        self,
        request_id: str,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        image_data: Any = None,
        video_data: Any = None,
        **_: Any,
    ) -> TokenOutput:
        """Generates until a stop id or the token limit.

        Raises:
            FieldError: this server does not implement a sampling parameter, or the model cannot continue the prompt, or
                the prompt leaves no room for a response.
        """
        if self._worker is None:
            self._worker = asyncio.create_task(self._serve())
        request = self._request(prompt_ids, sampling_params)
        answer: asyncio.Future[TokenOutput] = asyncio.get_running_loop().create_future()
        await self._queue.put((request, answer))
        return await answer

    def _request(self, prompt_ids: list[int], params: dict[str, Any]) -> Request:
        vocabulary = self._model.config.vocab_size
        prompt_ids = check_ids(prompt_ids, vocabulary)
        check_sampling(params, vocabulary)
        given = {name: value for name, value in params.items() if value is not None}
        for name, neutral in (("top_p", (1, None)), ("top_k", (-1, 0, None)), ("repetition_penalty", (1, None))):
            if params.get(name) not in neutral:
                raise FieldError(f"sampling_params.{name}", params[name], f"{neutral[0]} with the torch rollout server")
        room = self._max_length - len(prompt_ids)
        if room < 1:
            raise FieldError("prompt_ids", f"{len(prompt_ids)} tokens", f"fewer than {self._max_length}")
        asked = given.get("max_new_tokens", given.get("max_tokens", self._config.response_length))
        max_new_tokens = min(room, asked)
        self._served.check(prompt_ids, max_new_tokens)
        return Request(
            prompt_ids=prompt_ids,
            max_new_tokens=max_new_tokens,
            temperature=float(given.get("temperature", 1.0)),
            seed=given.get("sampling_seed", self._config.seed),
            stop_ids=self._stop_ids | frozenset(given.get("stop_token_ids", ())),
            logit_bias={int(token): float(bias) for token, bias in given.get("logit_bias", {}).items()},
        )

    async def _serve(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(GATHER_S)
            while not self._queue.empty() and len(batch) < self._config.max_num_seqs:
                batch.append(self._queue.get_nowait())
            try:
                results = await asyncio.to_thread(generate_batch, self._served, [request for request, _ in batch])
            except Exception as error:  # noqa: BLE001  each waiting request gets the error
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), result in zip(batch, results, strict=True):
                if answer.done():  # the caller was cancelled
                    continue
                answer.set_result(
                    TokenOutput(
                        token_ids=result.token_ids,
                        log_probs=result.log_probs,
                        stop_reason=result.stop_reason,
                        num_preempted=0,
                        extra_fields={"global_steps": self._global_steps},
                    )
                )

    async def set_global_steps(self, global_steps: int) -> None:
        """Sets the step with which the next outputs are labelled."""
        self._global_steps = global_steps

    # verl's control calls do nothing: there is no device memory to release and no cache that outlives a request.
    async def wake_up(self) -> None: ...
    async def sleep(self) -> None: ...
    async def abort_all_requests(self, reject_request: bool = False) -> None: ...
    async def resume_generation(self) -> None: ...
    async def clear_kv_cache(self) -> None: ...
    async def release_kv_cache(self) -> None: ...
    async def resume_kv_cache(self) -> None: ...
    async def start_profile(self, **_: Any) -> None: ...
    async def stop_profile(self) -> None: ...


class TorchReplica(SnapshotReplica):
    """verl's replica class for one torch server."""

    def server_class(self) -> type:
        return TorchServer
