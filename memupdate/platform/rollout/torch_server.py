"""A small torch rollout server: tokens in, tokens and log-probs out, and every request its own seed.

It exists for what SGLang does not promise on CPU: the same request with the same seed gives the same tokens, whatever
else is in the batch. Two choices make that so. Logits are computed in float64 by default, so that the rounding that
depends on the batch's shape (1e-16) cannot decide a token; and a token is drawn by inverting the CDF at a uniform
number that comes from (seed, position) alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from safetensors.torch import load_file
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config import HFModelConfig
from verl.workers.rollout.replica import TokenOutput

from memupdate.errors import FieldError
from memupdate.platform.rollout.settings import ServerSettings
from memupdate.platform.rollout.snapshot import SnapshotReplica, current_version, mark_current

logger = logging.getLogger(__name__)

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
# Requests of one step arrive within milliseconds of each other; waiting this long lets them share a batch.
GATHER_S = 0.005


@dataclass
class Request:
    """One generation: prompt ids, how to sample, and where the answer goes."""

    prompt_ids: list[int]
    max_new_tokens: int
    temperature: float
    seed: int
    stop_ids: frozenset[int]
    answer: asyncio.Future[TokenOutput]


@dataclass
class Generated:
    """Tokens of one request, their log-probs after temperature, and why it ended."""

    token_ids: list[int]
    log_probs: list[float]
    stop_reason: str


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) from (seed, position): 53 bits of blake2b."""
    digest = hashlib.blake2b(f"{seed}:{position}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53


def sample_rows(logits_BV: torch.Tensor, temperatures_B: torch.Tensor, uniforms_B: torch.Tensor) -> torch.Tensor:
    """Draws one token per row by inverse CDF; rows with temperature 0 are greedy. Returns ids (B,)."""
    greedy_B = temperatures_B == 0
    scaled_BV = logits_BV.double() / temperatures_B.masked_fill(greedy_B, 1.0)[:, None]
    cdf_BV = torch.softmax(scaled_BV, -1).cumsum(-1)
    drawn_B = torch.searchsorted(cdf_BV, (uniforms_B * cdf_BV[:, -1])[:, None], right=True).squeeze(1)
    drawn_B = drawn_B.clamp(max=logits_BV.shape[1] - 1)
    return torch.where(greedy_B, logits_BV.argmax(-1), drawn_B)


@torch.inference_mode()
def generate_batch(model: Any, requests: list[Request], pad_id: int) -> list[Generated]:
    """Generates for all requests together: left-padded prompts, one key-value cache, rows leave when they stop."""
    rows = len(requests)
    width = max(len(request.prompt_ids) for request in requests)
    ids_BL = torch.full((rows, width), pad_id)
    mask_BL = torch.zeros((rows, width), dtype=torch.long)
    for row, request in enumerate(requests):
        ids_BL[row, width - len(request.prompt_ids) :] = torch.tensor(request.prompt_ids)
        mask_BL[row, width - len(request.prompt_ids) :] = 1
    position_BL = (mask_BL.cumsum(-1) - 1).clamp(min=0)
    temperatures_B = torch.tensor([request.temperature for request in requests], dtype=torch.float64)
    results = [Generated([], [], "length") for _ in requests]
    active = set(range(rows))
    cache, current_BL = None, ids_BL
    while active:
        output = model(
            input_ids=current_BL,
            attention_mask=mask_BL,
            position_ids=position_BL,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        logits_BV = output.logits[:, -1].double()
        steps = [
            len(request.prompt_ids) + len(result.token_ids) for request, result in zip(requests, results, strict=True)
        ]
        uniforms_B = torch.tensor(
            [uniform(r.seed, s) for r, s in zip(requests, steps, strict=True)], dtype=torch.float64
        )
        tokens_B = sample_rows(logits_BV, temperatures_B, uniforms_B)
        scale_B1 = temperatures_B.masked_fill(temperatures_B == 0, 1.0)[:, None]
        log_probs_B = torch.log_softmax(logits_BV / scale_B1, -1).gather(1, tokens_B[:, None]).squeeze(1)
        for row in sorted(active):
            token = int(tokens_B[row])
            results[row].token_ids.append(token)
            results[row].log_probs.append(float(log_probs_B[row]))
            if token in requests[row].stop_ids:
                results[row].stop_reason = "completed"
                active.discard(row)
            elif len(results[row].token_ids) >= requests[row].max_new_tokens:
                active.discard(row)
        current_BL = tokens_B[:, None]
        mask_BL = torch.cat([mask_BL, torch.ones((rows, 1), dtype=torch.long)], 1)
        position_BL = position_BL[:, -1:] + 1
    return results


class TorchServer:
    """The server actor: batches what is waiting, generates in a thread, answers each request."""

    def __init__(self, config: Any, model_config: Any, rollout_mode: Any, replica_rank: int, root: str) -> None:
        from transformers import AutoModelForCausalLM

        if config.dtype not in DTYPES:
            raise FieldError("actor_rollout_ref.rollout.dtype", config.dtype, "one of " + ", ".join(DTYPES))
        torch.set_num_threads(ServerSettings.of(config).threads)
        self._config = config
        hf: HFModelConfig = omega_conf_to_dataclass(model_config)
        self._model = AutoModelForCausalLM.from_config(hf.hf_config, dtype=DTYPES[config.dtype]).eval()
        tokenizer = hf.tokenizer
        stop = hf.generation_config.eos_token_id if hf.generation_config is not None else None
        stop = tokenizer.eos_token_id if stop is None else stop
        self._stop_ids = frozenset(stop if isinstance(stop, list) else [stop])
        self._pad_id = tokenizer.pad_token_id or 0
        self._max_length = config.max_model_len or config.prompt_length + config.response_length
        self._root = Path(root)
        self._global_steps: int | None = None
        self._queue: asyncio.Queue[Request] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        version = current_version(self._root)
        if version is not None:  # Ray restarted this actor
            self._load(version[0])
            self._global_steps = version[1]

    async def launch_server(self) -> tuple[str, int]:
        """Returns (node address, pid): requests come by Ray, so there is no port."""
        return ray.util.get_node_ip_address(), os.getpid()

    async def snapshot_root(self) -> str:
        """Where the trainer puts snapshots."""
        return str(self._root)

    def _load(self, folder: Path) -> None:
        state = {}
        for part in sorted(folder.glob("part-*.safetensors")):
            state.update(load_file(str(part)))
        missing, unexpected = self._model.load_state_dict(state, strict=False)
        tied = {"lm_head.weight"} if self._model.config.tie_word_embeddings else set()
        if unexpected or set(missing) - tied:
            raise RuntimeError(f"snapshot {folder}: missing {sorted(missing)}, unexpected {sorted(unexpected)}")

    async def load_snapshot(self, path: str, global_steps: int | None) -> None:
        """Loads a policy version and makes it the one a restart comes back with."""
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
            FieldError: a sampling parameter that this server does not implement, or a prompt that leaves no room.
        """
        if self._worker is None:
            self._worker = asyncio.create_task(self._serve())
        request = self._request(list(prompt_ids), sampling_params)
        await self._queue.put(request)
        return await request.answer

    def _request(self, prompt_ids: list[int], params: dict[str, Any]) -> Request:
        for name, neutral in (("top_p", (1, None)), ("top_k", (-1, 0, None)), ("repetition_penalty", (1, None))):
            if params.get(name) not in neutral:
                raise FieldError(f"sampling_params.{name}", params[name], f"{neutral[0]} with the torch rollout server")
        room = self._max_length - len(prompt_ids)
        if room < 1:
            raise FieldError("prompt_ids", f"{len(prompt_ids)} tokens", f"fewer than {self._max_length}")
        asked = params.get("max_new_tokens", params.get("max_tokens"))
        return Request(
            prompt_ids=prompt_ids,
            max_new_tokens=min(room, self._config.response_length if asked is None else int(asked)),
            temperature=float(params.get("temperature", 1.0)),
            seed=int(params.get("sampling_seed", self._config.seed)),
            stop_ids=self._stop_ids | frozenset(params.get("stop_token_ids") or ()),
            answer=asyncio.get_running_loop().create_future(),
        )

    async def _serve(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(GATHER_S)
            while not self._queue.empty() and len(batch) < self._config.max_num_seqs:
                batch.append(self._queue.get_nowait())
            try:
                results = await asyncio.to_thread(generate_batch, self._model, batch, self._pad_id)
            except Exception as error:  # noqa: BLE001  each waiting request gets the error, as its own call would
                for request in batch:
                    if not request.answer.done():
                        request.answer.set_exception(error)
                continue
            for request, result in zip(batch, results, strict=True):
                if request.answer.done():  # the caller went away
                    continue
                request.answer.set_result(
                    TokenOutput(
                        token_ids=result.token_ids,
                        log_probs=result.log_probs,
                        stop_reason=result.stop_reason,
                        num_preempted=0,
                        extra_fields={"global_steps": self._global_steps},
                    )
                )

    async def set_global_steps(self, global_steps: int) -> None:
        """The step that the next tokens are labelled with."""
        self._global_steps = global_steps

    # verl's control plane: there is no device memory to give back and no cache that outlives a request.
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
    """verl's view of one torch server."""

    def server_class(self) -> type:
        return TorchServer
