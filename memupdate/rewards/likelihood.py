"""The likelihood scorer: how probable a frozen language model that reads the memories finds the gold answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memupdate.checks import build_options, check_positive_int
from memupdate.rewards.contract import ABSTENTION_CATEGORY, NO_SIGNAL, ScoreItem
from memupdate.rewards.language_model import FrozenLanguageModel, check_model_options
from memupdate.rewards.prompts import reader_prompt


@dataclass(frozen=True, slots=True)
class LikelihoodOptions:
    """Fields of ``likelihood`` in a config.

    Attributes:
        model: the name or folder of a Hugging Face causal language model.
        device: the torch device that it runs on.
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
    """Scores with the geometric mean of the answer's token probabilities.

    The score is ``exp(1/T * sum_t log p(a_t | retrieved, question, a_<t))``, a probability per token in (0, 1]. The
    mean puts answers of different lengths on one scale. An abstention question (category 5) and an answer without text
    score 0.5, because they have no gold text whose probability could be measured.

    Args:
        model: the language model.
        batch_size: rows per forward pass.
    """

    name = "likelihood"

    def __init__(self, model: FrozenLanguageModel, batch_size: int = 8) -> None:
        self.model = model
        self.batch_size = batch_size

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> LikelihoodOptions:
        """Returns the checked options. Raises FieldError for an unknown one, or for a value that is not allowed."""
        return build_options(LikelihoodOptions, options, "reward.scorer")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> LikelihoodScorer:
        """Checks the options (see ``LikelihoodOptions``) and loads the model.

        Raises:
            FieldError: an unknown option, or a value that is not allowed.
        """
        checked = cls.check_options(options)
        return cls(FrozenLanguageModel.load(checked.model, checked.device, checked.dtype), checked.batch_size)

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Returns the score of one item."""
        return self.score_batch([ScoreItem(question, answer, tuple(retrieved), category)])[0]

    def score_batch(self, items: Sequence[ScoreItem]) -> list[float]:
        """Returns the scores of ``items``, in order."""
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
