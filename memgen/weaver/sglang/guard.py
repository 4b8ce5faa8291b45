"""Refuses bad requests to an SGLang server with latents, with HTTP status 400.

SGLang's own registry of hooks puts the checks in two places. The first is the process that takes requests, before
SGLang copies a request for parallel sampling. The second is the scheduler, which every request passes, and which would
end with an exception. SGLang loads :func:`register` as a plug-in in all its processes (entry point
``sglang.srt.plugins``). The model class calls it too, so a model with latents is never served without the second check.

Servers of other models are left as they are.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Callable
from typing import Any, TypeVar

from sglang.srt.plugins.hook_registry import HookRegistry, HookType

Result = TypeVar("Result")
TAKES_REQUESTS = "sglang.srt.managers.tokenizer_manager.TokenizerManager.generate_request"
SCHEDULES = "sglang.srt.managers.scheduler.Scheduler.handle_generate_request"
_registered: list[str] = []


def register() -> bool:
    """Registers the checks with SGLang. Returns whether they were not registered before in this process."""
    if _registered:
        return False
    for target, hook in ((TAKES_REQUESTS, check_request), (SCHEDULES, check_scheduled)):
        HookRegistry.register(target, hook, HookType.AROUND)
        _registered.append(target)
    return True


def checks_of(owner: Any) -> Any:
    """Returns the checks for the served model (``LatentRequests``), or None if the model has no latents.

    Args:
        owner: an object of SGLang with a ``model_config``.
    """
    config = owner.model_config
    settings = getattr(config.hf_config, "memgen", None)
    if settings is None:
        return None
    # Imported here: SGLang loads this plug-in for every model.
    from memgen.weaver.sglang.requests import LatentRequests

    found = getattr(owner, "latent_requests", None)
    if found is None:
        found = owner.latent_requests = LatentRequests(settings, config.vocab_size)
    return found


def check_request(original: Callable[..., Result], manager: Any, request: Any, *rest: Any, **named: Any) -> Result:
    """Checks a request as the client sent it. It may be a batch.

    Raises:
        ValueError: the request is refused. SGLang answers with status 400.
    """
    checks = checks_of(manager)
    if checks is not None:
        from sglang.srt.managers.io_struct import GenerateReqInput
        from sglang.srt.sampling.sampling_params import SamplingParams

        from memgen.weaver.sglang.batches import check_batch
        from memupdate.errors import FieldError

        try:
            if isinstance(request, GenerateReqInput):  # SGLang itself refuses requests for embeddings
                check_batch(checks, request, inspect.signature(SamplingParams).parameters)
        except FieldError as error:
            raise ValueError(str(error)) from error
    return original(manager, request, *rest, **named)


def check_scheduled(original: Callable[..., None], scheduler: Any, request: Any) -> None:
    """Checks a single request in the scheduler, and makes the first id of a block end it."""
    checks = checks_of(scheduler)
    if checks is not None:
        from memgen.weaver.sglang.requests import check_supported
        from memupdate.errors import FieldError

        params = request.sampling_params
        try:
            check_supported(request)
            checks.check_sampling(vars(params))
            checks.check_log_probs(request.top_logprobs_num)
            checks.check_ids(list(request.input_ids or ()), request.return_logprob, request.logprob_start_len)
        except FieldError as error:
            _refuse(scheduler, request, str(error))
            return
        params.stop_token_ids = checks.firsts | (params.stop_token_ids or set())
    original(scheduler, request)


def _refuse(scheduler: Any, request: Any, message: str) -> None:
    """Ends a request with status 400, in the way in which the scheduler itself refuses a request."""
    from sglang.srt.managers.schedule_batch import Req
    from sglang.srt.sampling.sampling_params import SamplingParams

    params = SamplingParams(max_new_tokens=0)
    params.normalize(None)
    refused = Req(
        request.rid,
        request.input_text,
        request.input_ids or array("q", [0]),
        params,
        stream=request.stream,
        vocab_size=scheduler.model_config.vocab_size,
        http_worker_ipc=request.http_worker_ipc,
        time_stats=request.time_stats,
    )
    refused.tokenizer = scheduler.tokenizer
    refused.set_finish_with_abort(message)
    scheduler.init_req_max_new_tokens(refused)
    scheduler._add_request_to_queue(refused)
