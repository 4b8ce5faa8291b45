"""The judge scorer: a chat model grades how well the retrieved memories support the gold answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memupdate.checks import build_options, check_positive_int
from memupdate.errors import FieldError
from memupdate.evaluation.locomo import locomo_score
from memupdate.rewards.chat_endpoint import ChatEndpoint, check_endpoint_options
from memupdate.rewards.contract import ABSTENTION_CATEGORY
from memupdate.rewards.prompts import judge_prompt, reader_prompt

_SCORE = re.compile(r"(?:0(?:\.[0-9]+)?|1(?:\.0+)?|\.[0-9]+)")


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Fields of ``judge`` in a config.

    Attributes:
        model: the model's name at the endpoint.
        base_url: the endpoint's address. Empty takes the client's own (``OPENAI_BASE_URL``).
        cache: the JSON-lines file that keeps the replies.
        offline: if true, only cached replies are used and the endpoint is never asked.
        deadline_s: seconds to wait for one reply, retries included.
        max_tokens: length of the longest reply, in tokens.
    """

    model: str = ""
    base_url: str = ""
    cache: str = ""
    offline: bool = False
    deadline_s: float = 60.0
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        check_endpoint_options(self.model, self.base_url, self.cache, self.offline, self.deadline_s)
        check_positive_int("reward.scorer.max_tokens", self.max_tokens)


def parse_score(reply: str) -> float:
    """Returns the number from 0 to 1 that a reply consists of.

    Raises:
        FieldError: the reply is anything other than one such number.
    """
    if not _SCORE.fullmatch(reply.strip()):
        raise FieldError("judge's reply", reply, "one number between 0 and 1 and nothing else")
    return float(reply)


class JudgeScorer:
    """Scores with a chat model's grade, from 0 to 1.

    An abstention question (category 5) has no answer to support. The model answers it from the memories instead, and
    LoCoMo's official rule grades the reply: 1 if it says that there is no information, else 0.
    """

    name = "judge"

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self.endpoint = endpoint

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> JudgeOptions:
        """Returns the checked options. Raises FieldError for an unknown one, or for a value that is not allowed."""
        return build_options(JudgeOptions, options, "reward.scorer")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> JudgeScorer:
        """Checks the options (see ``JudgeOptions``) and opens the cache.

        The endpoint is first asked when a reply is not in the cache.

        Raises:
            FieldError: an unknown option, or a value that is not allowed.
            DataError: the cache holds a line that is not a reply.
        """
        checked = cls.check_options(options)
        endpoint = ChatEndpoint(
            checked.model, checked.base_url, checked.cache, checked.offline, checked.deadline_s, checked.max_tokens
        )
        return cls(endpoint)

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Returns the judge's grade of one item.

        Raises:
            FieldError: as ``ChatEndpoint.complete``, or the reply is not a number from 0 to 1.
            MemupdateError: as ``ChatEndpoint.complete``.
        """
        if category == ABSTENTION_CATEGORY:
            reply = self.endpoint.complete(reader_prompt(question, retrieved), str)
            return locomo_score(reply, answer, category)
        return self.endpoint.complete(judge_prompt(question, answer, retrieved), parse_score)
