"""The span scorer: how much of the answer stands in a few neighbouring words of one memory. It needs no model.

Plain word overlap counts a word wherever it stands, so a note with all months and all numbers from 1 to 31 supports
every date. Here the words of an answer must stand within a few words of each other, as they do where a text states it.
And half of the words count as none: any note with the right year has a part of the date.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from memupdate.evaluation.locomo import MULTI_HOP, normalize
from memupdate.rewards.contract import ABSTENTION_CATEGORY, NO_SIGNAL, check_no_options

# An answer of n words is looked for in spans of 2 n + 1 words, so that "on 7 May, a Sunday, 2023" states "7 May 2023".
SPAN_PER_WORD, SPAN_EXTRA = 2, 1


class SpanScorer:
    """Scores with the best span of any retrieved text: ``max(0, 2 * share - 1)`` of the answer's tokens that it has.

    Texts are normalised as LoCoMo's official score does: case, punctuation and articles do not count. Words are not
    stemmed. A token that the answer repeats counts once. The items of a list (category 1, split at commas as in the
    official score) are looked for one by one, and the score is their mean. An abstention question (category 5), and an
    answer without any token after normalisation, score 0.5, because a span says nothing about them.
    """

    name = "span"
    scores_abstention = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> SpanScorer:
        """Makes the scorer.

        Args:
            options: none; the scorer has no options.

        Raises:
            FieldError: any option.
        """
        check_no_options(cls.name, options)
        return cls()

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Returns the score of one item."""
        items = answer.split(",") if category == MULTI_HOP else [answer]
        wanted = [tokens for tokens in (frozenset(_tokens(item)) for item in items) if tokens]
        if category == ABSTENTION_CATEGORY or not wanted:
            return NO_SIGNAL
        return sum(max((_best_span(text, one) for text in retrieved), default=0.0) for one in wanted) / len(wanted)


def _best_span(text: str, wanted: frozenset[str]) -> float:
    """Returns the score of the span of the text that has most of ``wanted``."""
    width = SPAN_PER_WORD * len(wanted) + SPAN_EXTRA
    places = [(place, token) for place, token in enumerate(_tokens(text)) if token in wanted]
    inside: Counter[str] = Counter()
    best = first = 0
    for place, token in places:
        inside[token] += 1
        while place - places[first][0] >= width:
            gone = places[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        best = max(best, len(inside))
    return max(0.0, 2 * best / len(wanted) - 1)


@lru_cache(maxsize=50_000)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(normalize(text).split())
