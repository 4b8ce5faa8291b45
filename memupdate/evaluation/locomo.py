"""LoCoMo's official score (snap-research/locomo, evaluation of question answering; Maharana et al., ACL 2024).

Texts are compared as bags of Porter stems after normalisation. Multi-hop answers are lists and are scored item by item.
For an adversarial question, a prediction is right if it abstains.
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
    """Returns the text in lower case with single blanks, without ASCII punctuation and "a", "an", "the" and "and".

    Punctuation is removed first and leaves no blank: "rock-and-roll" becomes "rockandroll".
    """
    bare = text.replace(",", "").lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


@functools.cache
def _stemmer() -> Any:
    # Imported on first use, because the import takes seconds and not every user of this module needs stems.
    from nltk.stem import PorterStemmer

    return PorterStemmer()


@functools.lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    stemmed: str = _stemmer().stem(word)
    return stemmed


def token_f1(prediction: str, gold: str) -> float:
    """Returns the F1 of two bags of stems, in [0, 1]. It is 0 if they share no stem, for example if one is empty."""
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
        prediction: the system's answer.
        answer: the gold answer; not used for category 5.
        category: 1 multi-hop, 2 temporal, 3 open-domain, 4 single-hop, 5 adversarial.

    Raises:
        FieldError: the category is not one of these.
    """
    if category not in CATEGORIES:
        raise FieldError("category", category, "1, 2, 3, 4 or 5")
    if category == ADVERSARIAL:
        return float(any(phrase in prediction.lower() for phrase in ABSTENTIONS))
    gold = str(answer)
    if category == MULTI_HOP:
        return list_f1(prediction, gold)
    if category == OPEN_DOMAIN:
        # The text after the semicolon explains the answer.
        gold = gold.split(";")[0].strip()
    return token_f1(prediction, gold)


@dataclass(frozen=True, slots=True)
class MeanScore:
    """The mean score of ``n`` questions."""

    n: int
    mean: float


@dataclass(frozen=True, slots=True)
class LocomoScores:
    """Official scores of a set of predictions.

    Attributes:
        per_category: the mean of every category that occurs, in ascending order.
        overall: the mean over all questions with equal weights.
        scores: one score per question, in the given order.
    """

    per_category: dict[int, MeanScore]
    overall: MeanScore
    scores: tuple[float, ...]


def locomo_scores(predictions: Sequence[str], answers: Sequence[str | int], categories: Sequence[int]) -> LocomoScores:
    """Scores predictions per category and overall.

    Args:
        predictions: the system's answers.
        answers: the gold answers, as many as predictions.
        categories: the questions' categories, as many as predictions.

    Raises:
        FieldError: the three lists are empty or of different lengths, or a category is not one of LoCoMo's.
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
