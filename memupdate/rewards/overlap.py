"""The overlap scorer: the share of the answer's words that the retrieved memories contain. It needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memupdate.evaluation.locomo import normalize
from memupdate.rewards.contract import ABSTENTION_CATEGORY, NO_SIGNAL, check_no_options


class OverlapScorer:
    """Scores with the share of the answer's distinct tokens that occur in any retrieved text.

    Texts are normalised as LoCoMo's official score does: case, punctuation and articles do not count. Words are not
    stemmed. A token that the answer repeats counts once. An abstention question (category 5), and an answer without any
    token after normalisation, score 0.5, because word overlap says nothing about them.
    """

    name = "overlap"
    scores_abstention = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> OverlapScorer:
        """Makes the scorer.

        Args:
            options: none; the scorer has no options.

        Raises:
            FieldError: any option.
        """
        check_no_options(cls.name, options)
        return cls()

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Returns |answer tokens in the retrieved texts| / |answer tokens|."""
        wanted = set(normalize(answer).split())
        if category == ABSTENTION_CATEGORY or not wanted:
            return NO_SIGNAL
        found = {token for text in retrieved for token in normalize(text).split()}
        return len(wanted & found) / len(wanted)
