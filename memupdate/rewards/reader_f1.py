"""The ``f1`` scorer: a model answers from the retrieved memories, and LoCoMo's official score grades the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memupdate.checks import build_options, check_choice, check_positive_int
from memupdate.evaluation.locomo import SINGLE_HOP, locomo_score
from memupdate.rewards.chat_endpoint import ChatEndpoint, check_endpoint_options
from memupdate.rewards.contract import ScoreItem
from memupdate.rewards.language_model import FrozenLanguageModel, check_model_options
from memupdate.rewards.prompts import reader_prompt

BACKENDS = ("huggingface", "openai")


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Fields of ``f1`` in a config.

    Attributes:
        model: the name or folder of a Hugging Face model, or the model's name at the endpoint.
        backend: ``huggingface`` runs the model in this process, with greedy decoding. ``openai`` asks an endpoint at
            temperature 0 and caches the replies.
        max_new_tokens: length of the longest answer, in tokens.
        batch_size: rows per generation. Only for ``huggingface``.
        device: the torch device that the model runs on. Only for ``huggingface``.
        dtype: ``float32``, ``bfloat16`` or ``float16``. Only for ``huggingface``.
        base_url: the endpoint's address. Empty takes the client's own (``OPENAI_BASE_URL``). Only for ``openai``.
        cache: the JSON-lines file that keeps the replies. Only for ``openai``.
        offline: if true, only cached replies are used. Only for ``openai``.
        deadline_s: seconds to wait for one reply, retries included. Only for ``openai``.
    """

    model: str = ""
    backend: str = "huggingface"
    max_new_tokens: int = 48
    batch_size: int = 8
    device: str = "cpu"
    dtype: str = "float32"
    base_url: str = ""
    cache: str = ""
    offline: bool = False
    deadline_s: float = 60.0

    def __post_init__(self) -> None:
        check_choice("reward.scorer.backend", self.backend, BACKENDS)
        check_positive_int("reward.scorer.max_new_tokens", self.max_new_tokens)
        check_positive_int("reward.scorer.batch_size", self.batch_size)
        if self.backend == "huggingface":
            check_model_options(self.model, self.device, self.dtype)
        else:
            check_endpoint_options(self.model, self.base_url, self.cache, self.offline, self.deadline_s)


class Reader(Protocol):
    """A model that answers prompts."""

    def read(self, prompts: Sequence[str]) -> list[str]:
        """Returns one reply per prompt, in order."""


class HuggingFaceReader:
    """Reads with a local model and greedy decoding.

    Args:
        model: the model.
        max_new_tokens: length of the longest answer, in tokens.
        batch_size: prompts per generation.
    """

    def __init__(self, model: FrozenLanguageModel, max_new_tokens: int = 48, batch_size: int = 8) -> None:
        self.model = model
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size

    def read(self, prompts: Sequence[str]) -> list[str]:
        """Returns one reply per prompt, in order."""
        replies: list[str] = []
        for start in range(0, len(prompts), self.batch_size):
            replies += self.model.generate(prompts[start : start + self.batch_size], self.max_new_tokens)
        return replies


class EndpointReader:
    """Reads with a model at an OpenAI-compatible endpoint. Each prompt is asked once; its reply is cached."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self.endpoint = endpoint

    def read(self, prompts: Sequence[str]) -> list[str]:
        """Returns one reply per prompt, in order."""
        return [self.endpoint.complete(prompt, str) for prompt in prompts]


def first_line(reply: str) -> str:
    """Returns the first line of a reply that has text. What follows is often a next question that the model made up."""
    return next((line.strip() for line in reply.splitlines() if line.strip()), "")


class ReaderF1Scorer:
    """Scores a reader's answer with LoCoMo's official score.

    The score is token F1. In category 1 it is computed over comma-separated parts. An abstention question (category 5)
    scores 1 if the reader says that there is no information, else 0. Data without categories has plain token F1.
    """

    name = "f1"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> ReaderOptions:
        """Returns the checked options. Raises FieldError for an unknown one, or for a value that is not allowed."""
        return build_options(ReaderOptions, options, "reward.scorer")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ReaderF1Scorer:
        """Checks the options (see ``ReaderOptions``) and loads or connects the reader.

        Raises:
            FieldError: an unknown option, or a value that is not allowed.
        """
        checked = cls.check_options(options)
        if checked.backend == "openai":
            endpoint = ChatEndpoint(
                checked.model,
                checked.base_url,
                checked.cache,
                checked.offline,
                checked.deadline_s,
                checked.max_new_tokens,
            )
            return cls(EndpointReader(endpoint))
        model = FrozenLanguageModel.load(checked.model, checked.device, checked.dtype)
        return cls(HuggingFaceReader(model, checked.max_new_tokens, checked.batch_size))

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Returns the score of one item."""
        return self.score_batch([ScoreItem(question, answer, tuple(retrieved), category)])[0]

    def score_batch(self, items: Sequence[ScoreItem]) -> list[float]:
        """Returns the scores of ``items``, in order. The reader never sees answer or category."""
        replies = self.reader.read([reader_prompt(item.question, item.retrieved) for item in items])
        scores = []
        for reply, item in zip(replies, items, strict=True):
            category = SINGLE_HOP if item.category is None else item.category
            scores.append(locomo_score(first_line(reply), item.answer, category))
        return scores
