"""verl's SGLang server with settings for a CPU. Only the server actor imports this module: it has the import stubs."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil

# sglang reads this variable during its import
os.environ["SGLANG_USE_CPU_ENGINE"] = "1"
from sglang.srt.managers.io_struct import UpdateWeightFromDiskReqInput
from verl.workers.rollout.sglang_rollout.async_sglang_server import SGLangHttpServer

logger = logging.getLogger(__name__)

# Arguments of every CPU run; the config's `engine_kwargs.sglang` overrides them. Without max_total_tokens, the
# key-value pool takes more than 13 GiB. Without sleep_on_idle, an idle scheduler keeps a core busy.
CPU_ARGUMENTS: dict[str, Any] = {
    "device": "cpu",
    "attention_backend": "torch_native",
    "sampling_backend": "pytorch",
    "disable_overlap_schedule": True,
    "enable_memory_saver": False,
    "grammar_backend": "none",
    "sleep_on_idle": True,
    "max_total_tokens": 65536,
}


class CPUSGLangEngine(SGLangHttpServer):
    """verl's server, extended to load snapshots, watch its child processes and count prefix-cache hits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        arguments = self.config.engine_kwargs
        arguments["sglang"] = {**CPU_ARGUMENTS, **dict(arguments.get("sglang") or {})}
        self.prefix_cache = {"requests": 0, "hits": 0, "tokens": 0}
        self._meta: dict[str, dict[str, Any]] = {}
        self._children: list[psutil.Process] = []

    def serve_snapshot(self, folder: Path) -> None:
        """Makes the launch load the weights in ``folder``, for any configured load format (usually ``dummy``)."""
        object.__setattr__(self.model_config, "local_path", str(folder))
        object.__setattr__(self.config, "load_format", "auto")

    async def launch_server(self, *args: Any, **kwargs: Any) -> None:
        before = set(psutil.Process().children(recursive=True))
        await super().launch_server(*args, **kwargs)
        self._children = [child for child in psutil.Process().children(recursive=True) if child not in before]
        inner = self.tokenizer_manager.generate_request

        async def keep_meta(request: Any, http_request: Any = None) -> AsyncIterator[dict[str, Any]]:
            # verl's generate drops meta_info, which has the number of cached tokens
            async for output in inner(request, http_request):
                if request.rid in self._meta:
                    self._meta[request.rid] = output.get("meta_info", {})
                yield output

        self.tokenizer_manager.generate_request = keep_meta

    async def generate(
        self, prompt_ids: Any, sampling_params: dict[str, Any], request_id: str, *args: Any, **kwargs: Any
    ) -> Any:
        self._meta[request_id] = {}
        try:
            output = await super().generate(prompt_ids, sampling_params, request_id, *args, **kwargs)
        finally:
            meta = self._meta.pop(request_id, {})
        cached = int(meta.get("cached_tokens") or 0)
        output.extra_fields["num_cached_tokens"] = cached  # the key that verl's vLLM server uses
        self.prefix_cache["requests"] += 1
        self.prefix_cache["hits"] += cached > 0
        self.prefix_cache["tokens"] += cached
        return output

    async def load_snapshot(self, path: str) -> None:
        """Loads a policy version from disk.

        Raises:
            RuntimeError: SGLang could not load it. The message is SGLang's.
        """
        # load_format must be given: its default is the launch value, "dummy". flush_cache drops the prefix cache.
        request = UpdateWeightFromDiskReqInput(model_path=path, load_format="safetensors", flush_cache=True)
        loaded, message, _ = await self.tokenizer_manager.update_weights_from_disk(request, None)
        if not loaded:
            raise RuntimeError(f"SGLang did not load {path}: {message}")

    def child_processes(self) -> dict[int, str]:
        """Returns the name of every engine process by pid; ``dead`` for one that has ended."""
        return {child.pid: child.name() if child.is_running() else "dead" for child in self._children}

    def die(self, reason: str) -> None:
        """Ends this process and its children, so that Ray restarts the server."""
        logger.error("SGLang server %d: %s; leaving so that Ray restarts it", os.getpid(), reason)
        for child in self._children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        os._exit(1)

    def watch_children(self, poll_s: float) -> None:
        """Starts a thread that calls :meth:`die` when an engine process has ended.

        Args:
            poll_s: seconds between two checks.
        """

        def alive(child: psutil.Process) -> bool:
            try:
                return bool(child.is_running() and child.status() != psutil.STATUS_ZOMBIE)
            except psutil.NoSuchProcess:
                return False

        def watch() -> None:
            while True:
                for child in self._children:
                    if not alive(child):
                        self.die(f"engine process {child.pid} is gone")
                time.sleep(poll_s)

        threading.Thread(target=watch, daemon=True, name="sglang-watch").start()
