"""The overlap scorer: which part of the answer's words stands in the retrieved memories. No model, microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memupdate.errors import FieldError
from memupdate.evaluation.locomo import normalize
from memupdate.rewards.scorers import ABSTENTION_CATEGORY, NO_SIGNAL


class OverlapScorer:
    """Share of the answer's distinct tokens that occur in any retrieved text, after LoCoMo's official normalisation.

    Case, punctuation and articles do not count; words are not stemmed, so an answer counts where its own words stand.
    Tokens count once (a set, not a multiset): a name said twice in the answer needs to be remembered once.
    An abstention question (category 5), and an answer without any token after normalisation, score 0.5: word overlap
    says nothing about them.
    """

    name = "overlap"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> OverlapScorer:
        """Make the scorer; it has no options.

        Raises:
            FieldError: any option.
        """
        for key, value in options.items():
            raise FieldError(f"reward.scorer.{key}", value, "no such field; overlap has no options")
        return cls()

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Return |answer tokens in the retrieved texts| / |answer tokens|."""
        wanted = set(normalize(answer).split())
        if category == ABSTENTION_CATEGORY or not wanted:
            return NO_SIGNAL
        found = {token for text in retrieved for token in normalize(text).split()}
        return len(wanted & found) / len(wanted)
