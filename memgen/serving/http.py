"""Sends requests to an SGLang server over HTTP."""

from __future__ import annotations

from typing import Any

import aiohttp

from memgen.base.server import Send, ServerAnswer


def http_transport(session: aiohttp.ClientSession, url: str) -> Send:
    """Returns a function that sends requests to SGLang's ``/generate`` endpoint.

    The function raises aiohttp's errors if a request fails.

    Args:
        session: the HTTP session.
        url: base URL of the server.
    """

    async def send(ids: list[int], sampling: dict[str, Any], logprob_start_len: int) -> ServerAnswer:
        body = {
            "input_ids": ids,
            "sampling_params": sampling,
            "return_logprob": True,
            "logprob_start_len": logprob_start_len,
        }
        async with session.post(f"{url}/generate", json=body, raise_for_status=True) as response:
            answer = await response.json()
        return answer_of(answer)

    return send


def answer_of(output: dict[str, Any]) -> ServerAnswer:
    """Converts SGLang's response to one request."""
    meta = output["meta_info"]
    return ServerAnswer(
        token_ids=list(output["output_ids"]),
        log_probs=[entry[0] for entry in meta["output_token_logprobs"]],
        cached_tokens=int(meta["cached_tokens"]),
        stopped=meta["finish_reason"]["type"] == "stop",
    )
