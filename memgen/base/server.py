"""How a client talks to a rollout server: one request, and its answer. The client brings its own way of sending."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerAnswer:
    """What a server returns for one request.

    Attributes:
        token_ids: the generated ids, the stop id included.
        log_probs: their log-probs.
        cached_tokens: ids of the prompt that came from the server's cache.
        stopped: whether the request ended at a stop id.
    """

    token_ids: list[int]
    log_probs: list[float]
    cached_tokens: int
    stopped: bool


# Sends ids, sampling parameters (a JSON object) and the position from which log-probs are wanted.
Send = Callable[[list[int], dict[str, Any], int], Awaitable[ServerAnswer]]
