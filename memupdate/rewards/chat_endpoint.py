"""Questions to an OpenAI-compatible chat endpoint, with replies cached on disk and retries until a deadline."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from memupdate.checks import check_bool, check_positive_number, check_text
from memupdate.errors import FieldError, MemupdateError
from memupdate.rewards.reply_cache import ReplyCache, reply_key

if TYPE_CHECKING:
    from openai import OpenAI

logger = logging.getLogger(__name__)

Parsed = TypeVar("Parsed")

API_KEY_VARIABLE = "OPENAI_API_KEY"
LONGEST_WAIT_S = 8.0


def check_endpoint_options(model: object, base_url: object, cache: object, offline: object, deadline_s: object) -> None:
    """Checks the fields that name an endpoint.

    Raises:
        FieldError: a value that is not allowed. The error's field is ``reward.scorer.<name>``.
    """
    check_text("reward.scorer.model", model, "the name of a model that the endpoint serves")
    if not isinstance(base_url, str) or (base_url and not base_url.startswith(("http://", "https://"))):
        raise FieldError("reward.scorer.base_url", base_url, "an http(s) address, or empty for the client's own")
    check_text("reward.scorer.cache", cache, "a path of the JSON-lines file that keeps the replies")
    check_bool("reward.scorer.offline", offline)
    check_positive_number("reward.scorer.deadline_s", deadline_s)


class ChatEndpoint:
    """A chat model behind an OpenAI-compatible endpoint.

    Replies are cached by the SHA-256 of model and prompt, so each question is asked once. The API key is read from
    ``OPENAI_API_KEY`` in the environment and from nowhere else.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint's address. Empty takes the client's own: ``OPENAI_BASE_URL``, or else OpenAI.
        cache: the JSON-lines file of replies.
        offline: if true, the endpoint is never asked, and a prompt without a cached reply is an error.
        deadline_s: seconds to wait for one reply, retries included.
        max_tokens: length of the longest reply, in tokens.
        first_wait_s: seconds to wait before the first retry. Each further wait is twice as long, up to 8 s.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        cache: str,
        offline: bool = False,
        deadline_s: float = 60.0,
        max_tokens: int = 1024,
        first_wait_s: float = 0.5,
    ) -> None:
        self.model = model
        self.base_url = base_url
        self.cache = ReplyCache(Path(cache))
        self.offline = offline
        self.deadline_s = deadline_s
        self.max_tokens = max_tokens
        self.first_wait_s = first_wait_s
        self._client: OpenAI | None = None

    def complete(self, prompt: str, parse: Callable[[str], Parsed]) -> Parsed:
        """Returns the parsed reply to a prompt.

        Args:
            prompt: the whole prompt, as one user message.
            parse: turns the reply into a value. A reply for which it raises an error is not cached.

        Raises:
            FieldError: the endpoint is offline and the reply is not cached, or the environment has no API key.
            MemupdateError: no reply came before the deadline, or an empty one came.
            openai.APIStatusError: the endpoint rejects the request for good (a 4xx other than 408, 409 and 429).
        """
        key = reply_key(self.model, prompt)
        cached = self.cache.get(key)
        if cached is not None:
            return parse(cached)
        if self.offline:
            allowed = f"a cached reply of {self.model} with this key, or offline: false"
            raise FieldError(f"offline reply in {self.cache.path}", key, allowed)
        reply = self._ask(prompt)
        parsed = parse(reply)
        self.cache.put(self.model, prompt, reply)
        return parsed

    def _ask(self, prompt: str) -> str:
        """Asks until there is a reply, or until the deadline."""
        from openai import APIConnectionError, APIStatusError

        client = self._connected()
        deadline = time.monotonic() + self.deadline_s
        wait = self.first_wait_s
        attempts = 0
        while True:
            attempts += 1
            try:
                # The client's own retries know no deadline over all of them.
                completion = client.with_options(
                    max_retries=0, timeout=max(0.001, deadline - time.monotonic())
                ).chat.completions.create(
                    model=self.model,
                    messages=[{"role": "user", "content": prompt}],
                    temperature=0.0,
                    max_completion_tokens=self.max_tokens,
                )
                reply = completion.choices[0].message.content
                if not reply:
                    raise MemupdateError(
                        f"{self.model}: an empty reply (finish reason {completion.choices[0].finish_reason})"
                    )
                return reply
            except (APIConnectionError, APIStatusError) as error:
                if isinstance(error, APIStatusError) and not _passing(error.status_code):
                    raise
                if time.monotonic() + wait >= deadline:
                    raise MemupdateError(
                        f"{self.model} at {client.base_url}: no reply within deadline_s = {self.deadline_s} "
                        f"({attempts} attempts); last error: {error}"
                    ) from error
                logger.warning("%s: attempt %d failed (%s); again in %.2f s", self.model, attempts, error, wait)
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _connected(self) -> OpenAI:
        """Returns the client, which is made at the first request: a run with cached replies needs no key."""
        if self._client is None:
            from openai import OpenAI

            api_key = os.environ.get(API_KEY_VARIABLE)
            if not api_key:
                raise FieldError(
                    API_KEY_VARIABLE, "", "a key in the environment (any text for an endpoint that checks none)"
                )
            self._client = OpenAI(api_key=api_key, base_url=self.base_url or None)
        return self._client


def _passing(status: int) -> bool:
    """Whether a later try may succeed after this HTTP status: timeout, conflict, too many requests, server error."""
    return status in (408, 409, 429) or status >= 500
