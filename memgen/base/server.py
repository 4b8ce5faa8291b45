"""The interface between a client and a rollout server: a function that sends one request, and the server's answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerAnswer:
    """A server's answer to one request.

    Attributes:
        token_ids: the generated ids, including the stop id.
        log_probs: log-prob of each generated id.
        cached_tokens: number of prompt ids that the server read from its cache.
        stopped: whether the request ended at a stop id.
    """

    token_ids: list[int]
    log_probs: list[float]
    cached_tokens: int
    stopped: bool


# A function that sends a request. Its arguments are the ids, the sampling parameters (a JSON object), and the position
# of the first id whose log-prob is wanted (-1 for the generated ids only).
Send = Callable[[list[int], dict[str, Any], int], Awaitable[ServerAnswer]]
