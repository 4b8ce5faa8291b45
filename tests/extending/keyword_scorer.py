"""A scorer: does a retrieved memory contain the answer's longest word?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memupdate.checks import build_options, check_number_between


@dataclass(frozen=True)
class KeywordScorer:
    """Scores 1 if a retrieved memory contains the answer's longest word, else ``otherwise``.

    Attributes:
        otherwise: the score without the word, from 0 to 1. A config sets it as ``reward.scorer.otherwise``.
    """

    otherwise: float = 0.0
    name = "keyword"

    def __post_init__(self) -> None:
        check_number_between("reward.scorer.otherwise", self.otherwise, 0, 1)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> KeywordScorer:
        """Makes the scorer from the fields of ``reward.scorer`` besides its name."""
        return build_options(cls, options, "reward.scorer")

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Returns the score of one question."""
        keyword = max(answer.lower().split(), key=len)
        return 1.0 if any(keyword in text.lower() for text in retrieved) else self.otherwise
