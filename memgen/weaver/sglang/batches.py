"""Checks of a request as the client sent it: one prompt or a batch of prompts, before SGLang normalises it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from memgen.weaver.sglang.requests import LatentRequests, check_supported
from memupdate.errors import FieldError

# Fields that have one value for the whole request, or a list with one value per prompt, and their defaults.
PER_PROMPT: dict[str, object] = {
    "return_logprob": False,
    "logprob_start_len": -1,
    "top_logprobs_num": 0,
    "sampling_params": {},
}


def check_batch(checks: LatentRequests, request: Any, known: Collection[str]) -> None:
    """Checks a request of SGLang's ``GenerateReqInput``.

    Text is checked later, when SGLang has turned it into ids.

    Args:
        checks: the checks for the served model.
        request: the request.
        known: names of SGLang's sampling parameters.

    Raises:
        FieldError: the request is malformed.
    """
    check_supported(request)
    name = "text" if request.text is not None else "input_ids"
    given = getattr(request, name)
    if not isinstance(given, str | list) or not given:
        raise FieldError(name, given, "a prompt, or a list of prompts")
    if request.text is not None and request.input_ids is not None:
        raise FieldError("input_ids", "given with text", "either text or input_ids")
    batch = isinstance(given, list) and not isinstance(given[0], int)
    prompts = given if batch else [given]
    values = {field: _per_prompt(request, field, len(prompts), batch) for field in PER_PROMPT}
    for index, prompt in enumerate(prompts):
        params = values["sampling_params"][index]
        _check_params(checks, params, known)
        checks.check_log_probs(values["top_logprobs_num"][index])
        if name == "input_ids":
            checks.check_ids(prompt, values["return_logprob"][index], values["logprob_start_len"][index])


def _per_prompt(request: Any, field: str, count: int, batch: bool) -> list[Any]:
    value = getattr(request, field)
    if not isinstance(value, list):
        return [PER_PROMPT[field] if value is None else value] * count
    if not batch or len(value) != count:
        raise FieldError(field, value, f"one value, or in a batch a list of {count}")
    return [PER_PROMPT[field] if one is None else one for one in value]


def _check_params(checks: LatentRequests, params: object, known: Collection[str]) -> None:
    if not isinstance(params, Mapping):
        raise FieldError("sampling_params", params, "an object")
    for name in params:
        if name not in known:
            raise FieldError(f"sampling_params.{name}", params[name], f"no such parameter; one of {', '.join(known)}")
    checks.check_sampling(params)
