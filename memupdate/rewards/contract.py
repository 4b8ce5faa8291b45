"""What a QA scorer is. A scorer says how well retrieved memories support the answer to a question, from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from memupdate.errors import FieldError

ABSTENTION_CATEGORY = 5
"""LoCoMo's adversarial questions. The memories do not hold the answer, and the right reply says so."""

NO_SIGNAL = 0.5
"""The score where there is nothing to measure: an empty answer, or an abstention question without a reader."""


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One question to score.

    Attributes:
        question: the question.
        answer: the gold answer; empty where there is none.
        retrieved: the texts of the memories that were retrieved for the question, best first.
        category: LoCoMo's category of the question; None for other data.
    """

    question: str
    answer: str
    retrieved: tuple[str, ...]
    category: int | None = None


class Scorer(Protocol):
    """Scores how well retrieved memories support an answer."""

    @property
    def name(self) -> str:
        """The scorer's name in a config and in logs."""

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Returns a score from 0 to 1. The arguments are the fields of :class:`ScoreItem`."""


class ScorerType(Protocol):
    """What an entry of the table of scorers is: a class that makes a scorer from its options in a config.

    Before a run, the options are checked by making the scorer. A class whose ``from_options`` is slow, for example
    because it loads a model, is a :class:`OptionsChecker` too.
    """

    def from_options(self, options: Mapping[str, Any]) -> Scorer:
        """Returns the scorer.

        Args:
            options: the fields of ``reward.scorer`` besides ``name``.

        Raises:
            FieldError: an unknown option, or a value that is not allowed.
        """


@runtime_checkable
class OptionsChecker(Protocol):
    """A class of scorers that can check options without making a scorer."""

    def check_options(self, options: Mapping[str, Any]) -> object:
        """Raises FieldError for an unknown option, or for a value that is not allowed."""


@runtime_checkable
class BatchScorer(Protocol):
    """A scorer that can score several items together, in fewer model calls than one by one."""

    def score_batch(self, items: Sequence[ScoreItem]) -> list[float]:
        """Returns one score from 0 to 1 per item, in order."""


def check_no_options(scorer: str, options: Mapping[str, Any]) -> None:
    """Raises FieldError for any option of a scorer that has none."""
    for key, value in options.items():
        raise FieldError(f"reward.scorer.{key}", value, f"no such field; {scorer} has no options")


def score_items(scorer: Scorer, items: Sequence[ScoreItem]) -> list[float]:
    """Scores items, in one batch if the scorer is a :class:`BatchScorer`.

    Returns:
        One score per item, in order.

    Raises:
        FieldError: the scorer returned something that is not a number from 0 to 1.
    """
    if isinstance(scorer, BatchScorer):
        scores = scorer.score_batch(items)
    else:
        scores = [scorer.score(item.question, item.answer, item.retrieved, item.category) for item in items]
    for score in scores:
        if not isinstance(score, Real) or not 0.0 <= score <= 1.0:
            raise FieldError(f"score of scorer {scorer.name}", score, "a number in [0, 1]")
    return scores
