"""What a QA scorer is, and how a config names one.

A scorer says how well retrieved memories support the answer to a question, in [0, 1]. Scorers that need a model import
torch and transformers only when they are made, so that importing this module costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from memupdate.checks import check_choice
from memupdate.errors import FieldError

ABSTENTION_CATEGORY = 5
"""LoCoMo's adversarial questions: the memories do not hold the answer, and the right reply says so."""

NO_SIGNAL = 0.5
"""The score where there is nothing to measure: an empty answer, or an abstention question without a reader."""

SCORER_NAMES = ("overlap", "f1", "likelihood", "judge")


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One question with its gold answer and the texts retrieved for it, best first."""

    question: str
    answer: str
    retrieved: tuple[str, ...]
    category: int | None = None


class Scorer(Protocol):
    """How well retrieved memories support an answer."""

    @property
    def name(self) -> str:
        """The scorer's name in a config and in logs."""

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        """Return a score in [0, 1]; ``category`` is LoCoMo's, None for other data."""


@runtime_checkable
class BatchScorer(Protocol):
    """A scorer that does several items in fewer model calls than one by one."""

    def score_batch(self, items: Sequence[ScoreItem]) -> list[float]:
        """Return one score in [0, 1] per item, in order."""


def score_items(scorer: Scorer, items: Sequence[ScoreItem]) -> list[float]:
    """Score ``items`` in order, in one batch where the scorer can.

    Raises:
        FieldError: the scorer returned something that is not a number in [0, 1].
    """
    if isinstance(scorer, BatchScorer):
        scores = scorer.score_batch(items)
    else:
        scores = [scorer.score(item.question, item.answer, item.retrieved, item.category) for item in items]
    for score in scores:
        if not 0.0 <= score <= 1.0:
            raise FieldError(f"score of scorer {scorer.name}", score, "a number in [0, 1]")
    return scores


@dataclass(frozen=True, slots=True)
class ScorerConfig:
    """Which scorer, with its options (checked by the scorer when it is made).

    Attributes:
        name: one of ``SCORER_NAMES``.
        options: the scorer's own fields: ``f1`` see ``ReaderOptions``, ``likelihood`` see ``LikelihoodOptions``,
            ``judge`` see ``JudgeOptions``; ``overlap`` has none.
    """

    name: str = "overlap"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("reward.scorer.name", self.name, SCORER_NAMES)
        if not isinstance(self.options, Mapping):
            raise FieldError("reward.scorer.options", self.options, "a mapping of the scorer's fields")

    @classmethod
    def parse(cls, value: ScorerConfig | Mapping[str, Any] | str) -> ScorerConfig:
        """Read ``"overlap"`` or ``{"name": "judge", "model": ..., ...}``.

        Raises:
            FieldError: neither of these shapes, or an unknown name.
        """
        if isinstance(value, ScorerConfig):
            return value
        if isinstance(value, str):
            return cls(name=value)
        if not isinstance(value, Mapping) or "name" not in value:
            raise FieldError("reward.scorer", value, "a name, or a mapping with `name` and the scorer's fields")
        return cls(name=value["name"], options={key: value[key] for key in value if key != "name"})


def make_scorer(config: ScorerConfig | Mapping[str, Any] | str) -> Scorer:
    """Make the scorer that ``config`` names; a scorer with a local model loads it here, once.

    Raises:
        FieldError: an unknown scorer, an unknown option, or an option with a value that is not allowed.
    """
    parsed = ScorerConfig.parse(config)
    match parsed.name:
        case "f1":
            from memupdate.rewards.reader_f1 import ReaderF1Scorer

            return ReaderF1Scorer.from_options(parsed.options)
        case "likelihood":
            from memupdate.rewards.likelihood import LikelihoodScorer

            return LikelihoodScorer.from_options(parsed.options)
        case "judge":
            from memupdate.rewards.judge import JudgeScorer

            return JudgeScorer.from_options(parsed.options)
    from memupdate.rewards.overlap import OverlapScorer

    return OverlapScorer.from_options(parsed.options)
