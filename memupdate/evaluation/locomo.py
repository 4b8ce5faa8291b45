"""LoCoMo's official score (snap-research/locomo, evaluation of question answering; Maharana et al., ACL 2024).

Texts are compared as bags of Porter stems after normalisation. Multi-hop answers are lists, which are scored item by
item. The answer to an adversarial question is right if the prediction abstains.
"""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memupdate.errors import FieldError

MULTI_HOP, TEMPORAL, OPEN_DOMAIN, SINGLE_HOP, ADVERSARIAL = CATEGORIES = (1, 2, 3, 4, 5)
ABSTENTIONS = ("no information available", "not mentioned")

_ARTICLES = re.compile(r"\b(a|an|the|and)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """Returns the text in lower case, without ASCII punctuation, "a", "an", "the" and "and", and with single blanks.

    Punctuation is removed before the words and leaves no blank: "rock-and-roll" becomes "rockandroll".
    """
    bare = text.replace(",", "").lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


@functools.cache
def _stemmer() -> Any:
    # Imported at first use: nltk takes seconds to import, and not every user of this module needs stems.
    from nltk.stem import PorterStemmer

    return PorterStemmer()


@functools.lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    stemmed: str = _stemmer().stem(word)
    return stemmed


def token_f1(prediction: str, gold: str) -> float:
    """Returns the F1 of two bags of stems, in [0, 1]. It is 0 if they share no stem, as when one is empty."""
    predicted = Counter(_stem(word) for word in normalize(prediction).split())
    expected = Counter(_stem(word) for word in normalize(gold).split())
    shared = (predicted & expected).total()
    if shared == 0:
        return 0.0
    precision = shared / predicted.total()
    recall = shared / expected.total()
    return 2 * precision * recall / (precision + recall)


def list_f1(prediction: str, gold: str) -> float:
    """Splits both texts at commas and returns the mean, over the gold items, of the best F1 of any predicted item."""
    predicted = [item.strip() for item in prediction.split(",")]
    return float(np.mean([max(token_f1(one, item.strip()) for one in predicted) for item in gold.split(",")]))


def locomo_score(prediction: str, answer: str | int, category: int) -> float:
    """Returns the official score of one prediction, in [0, 1].

    Args:
        prediction: what the system answered.
        answer: the gold answer; not used for category 5.
        category: 1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop, 5 adversarial.

    Raises:
        FieldError: the category is none of these.
    """
    if category not in CATEGORIES:
        raise FieldError("category", category, "1, 2, 3, 4 or 5")
    if category == ADVERSARIAL:
        return float(any(phrase in prediction.lower() for phrase in ABSTENTIONS))
    gold = str(answer)
    if category == MULTI_HOP:
        return list_f1(prediction, gold)
    if category == OPEN_DOMAIN:
        # What follows the semicolon explains the answer.
        gold = gold.split(";")[0].strip()
    return token_f1(prediction, gold)


@dataclass(frozen=True, slots=True)
class MeanScore:
    """A mean over ``n`` questions."""

    n: int
    mean: float


@dataclass(frozen=True, slots=True)
class LocomoScores:
    """Official scores of a set of predictions.

    Attributes:
        per_category: the mean and n of every category that occurs, in order.
        overall: the mean over all questions, each with the same weight.
        scores: one score for each question, in the order given.
    """

    per_category: dict[int, MeanScore]
    overall: MeanScore
    scores: tuple[float, ...]


def locomo_scores(predictions: Sequence[str], answers: Sequence[str | int], categories: Sequence[int]) -> LocomoScores:
    """Scores predictions for each category and overall.

    Raises:
        FieldError: the three lists are empty or of different lengths, or a category is none of LoCoMo's.
    """
    lengths = (len(predictions), len(answers), len(categories))
    if len(set(lengths)) != 1 or not predictions:
        raise FieldError("predictions, answers, categories", lengths, "three lists of one length, not empty")
    scores = tuple(map(locomo_score, predictions, answers, categories))
    per_category = {}
    for category in sorted(set(categories)):
        own = [score for score, its in zip(scores, categories, strict=True) if its == category]
        per_category[category] = MeanScore(len(own), float(np.mean(own)))
    return LocomoScores(per_category, MeanScore(len(scores), float(np.mean(scores))), scores)
