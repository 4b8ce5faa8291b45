"""The likelihood scorer: how probable the gold answer is to a frozen language model that has read the memories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memupdate.checks import build_options, check_positive_int
from memupdate.rewards.language_model import FrozenLanguageModel, check_model_options
from memupdate.rewards.prompts import reader_prompt
from memupdate.rewards.scorers import ABSTENTION_CATEGORY, NO_SIGNAL, ScoreItem


@dataclass(frozen=True, slots=True)
class LikelihoodOptions:
    """Fields of ``likelihood`` in a config.

    Attributes:
        model: a Hugging Face causal language model's name or folder.
        device: where it runs.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        batch_size: rows per forward pass.
    """

    model: str = ""
    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int = 8

    def __post_init__(self) -> None:
        check_model_options(self.model, self.device, self.dtype)
        check_positive_int("reward.scorer.batch_size", self.batch_size)


class LikelihoodScorer:
    """Geometric mean of the answer's token probabilities: ``exp(1/T * sum_t log p(a_t | retrieved, question, a_<t))``.

    The mean keeps answers of different lengths on one scale: a probability per token, in (0, 1]. An abstention question
    (category 5) and an answer without text score 0.5: there is no gold text to weigh.
    """

    name = "likelihood"

    def __init__(self, model: FrozenLanguageModel, batch_size: int = 8) -> None:
        self.model = model
        self.batch_size = batch_size

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> LikelihoodScorer:
        """Check the options (see ``LikelihoodOptions``), then load the model.

        Raises:
            FieldError: an unknown option, or a value that is not allowed.
        """
        checked = build_options(LikelihoodOptions, options, "reward.scorer")
        return cls(FrozenLanguageModel.load(checked.model, checked.device, checked.dtype), checked.batch_size)

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """The score of one item."""
        return self.score_batch([ScoreItem(question, answer, tuple(retrieved), category)])[0]

    def score_batch(self, items: Sequence[ScoreItem]) -> list[float]:
        """The scores of ``items``, ``batch_size`` rows to a forward pass."""
        scores = [NO_SIGNAL] * len(items)
        weighed = [i for i, item in enumerate(items) if item.category != ABSTENTION_CATEGORY and item.answer.strip()]
        for start in range(0, len(weighed), self.batch_size):
            rows = weighed[start : start + self.batch_size]
            means = self.model.mean_log_probs(
                [reader_prompt(items[i].question, items[i].retrieved) for i in rows], [items[i].answer for i in rows]
            )
            for i, mean in zip(rows, means, strict=True):
                scores[i] = math.exp(mean)
        return scores
