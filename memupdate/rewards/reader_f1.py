"""The reader scorer: a model answers from the retrieved memories, and LoCoMo's official score grades the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memupdate.checks import build_options, check_choice, check_positive_int
from memupdate.evaluation.locomo import SINGLE_HOP, locomo_score
from memupdate.rewards.chat_endpoint import ChatEndpoint, check_endpoint_options
from memupdate.rewards.language_model import FrozenLanguageModel, check_model_options
from memupdate.rewards.prompts import reader_prompt
from memupdate.rewards.scorers import ScoreItem

BACKENDS = ("huggingface", "openai")


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """Fields of ``f1`` in a config.

    Attributes:
        model: a Hugging Face model's name or folder, or the endpoint's model.
        backend: ``huggingface`` (in this process, greedy) or ``openai`` (an endpoint, temperature 0, replies cached).
        max_new_tokens: the longest answer.
        batch_size: ``huggingface``: rows per generation.
        device: ``huggingface``: where the model runs.
        dtype: ``huggingface``: ``float32``, ``bfloat16`` or ``float16``.
        base_url: ``openai``: the endpoint; empty takes the client's own (``OPENAI_BASE_URL``).
        cache: ``openai``: the JSON-lines file of replies.
        offline: ``openai``: answer from the cache alone.
        deadline_s: ``openai``: seconds for one reply, retries included.
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
    """Answers prompts."""

    def read(self, prompts: Sequence[str]) -> list[str]:
        """One reply per prompt."""


class HuggingFaceReader:
    """Greedy answers of a local model, ``batch_size`` prompts at a time."""

    def __init__(self, model: FrozenLanguageModel, max_new_tokens: int = 48, batch_size: int = 8) -> None:
        self.model = model
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size

    def read(self, prompts: Sequence[str]) -> list[str]:
        """One reply per prompt."""
        replies: list[str] = []
        for start in range(0, len(prompts), self.batch_size):
            replies += self.model.generate(prompts[start : start + self.batch_size], self.max_new_tokens)
        return replies


class EndpointReader:
    """Answers of an OpenAI-compatible endpoint, each asked once and then read from the cache."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self.endpoint = endpoint

    def read(self, prompts: Sequence[str]) -> list[str]:
        """One reply per prompt."""
        return [self.endpoint.complete(prompt, str) for prompt in prompts]


def first_line(reply: str) -> str:
    """A reply's first line with text: a model without an end token goes on with questions of its own."""
    return next((line.strip() for line in reply.splitlines() if line.strip()), "")


class ReaderF1Scorer:
    """LoCoMo's official score of a reader's answer (token F1; by comma-separated parts in category 1).

    An abstention question (category 5) scores 1 if the reader says that there is no information, else 0. Data without
    categories is scored with plain token F1.
    """

    name = "f1"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ReaderF1Scorer:
        """Check the options (see ``ReaderOptions``), then load or connect the reader.

        Raises:
            FieldError: an unknown option, or a value that is not allowed.
        """
        checked = build_options(ReaderOptions, options, "reward.scorer")
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
        """The score of one item."""
        return self.score_batch([ScoreItem(question, answer, tuple(retrieved), category)])[0]

    def score_batch(self, items: Sequence[ScoreItem]) -> list[float]:
        """The scores of ``items``; the reader sees question and memories, never answer or category."""
        replies = self.reader.read([reader_prompt(item.question, item.retrieved) for item in items])
        scores = []
        for reply, item in zip(replies, items, strict=True):
            category = SINGLE_HOP if item.category is None else item.category
            scores.append(locomo_score(first_line(reply), item.answer, category))
        return scores
