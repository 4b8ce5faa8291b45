"""The reward ``budgeted``: what an edit is worth to all questions, at equal reading, less what it stores.

    R = dQ - p * max(0, g) + refund

- ``dQ`` is the change of the score of the questions. A shown question has half of the weight and the hidden ones share
  the other half; where there is only one kind, it has all of it. Before and after are read with the same budget of B
  characters (:mod:`memupdate.memory.reading`).
- ``g = (C_after - C_before) / B`` is the growth of the bank in budgets, with C the characters of all texts. ``p`` is
  what it costs to store as much as one question reads.
- ``refund = min(r * s, p * -g)`` for a bank that shrank by the share ``s = (C_before - C_after) / C_before``, and only
  if no question scores lower than before. Else it is 0.

Deleting a share s of the memories at random costs about s * Q, where Q is the mean score: as many answers lose their
support. So r must stay well below Q, and then forgetting never pays, whatever the size of the bank. The second bound
keeps a pair of episodes from earning by storing and deleting the same text. Text that answers nothing costs p per B
characters, so p must be below what a useful note of that length brings.

An abstention question (category 5) only counts where its score falls. A bank that forgets everything leaves every such
question unanswerable, and that is no merit of the edit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from memupdate.broker.results import Readings
from memupdate.data.questions import StoredQuestion
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import ABSTENTION_CATEGORY, NO_SIGNAL, ScoreItem, Scorer, score_items

SHOWN_WEIGHT = 0.5
SAME_SCORE = 1e-9


@dataclass(frozen=True, slots=True)
class BudgetedParts:
    """A reward and the parts it was computed from. All are numbers, under the same names for every trajectory.

    Attributes:
        reward: ``delta - storage_cost + refund``.
        delta: the weighted change of the scores.
        delta_shown: the change of the shown question's score; 0 without one.
        delta_hidden: the mean change of the hidden questions' scores; 0 without any.
        qa_before: the weighted score before the edits, from 0 to 1.
        qa_after: the weighted score after the edits, from 0 to 1.
        qa_hidden_after: the mean score of the hidden questions after the edits; 0 without any.
        storage_cost: what the growth of the bank costs.
        refund: what saved characters pay.
        growth: the growth of the bank, in budgets.
        characters_before: the characters of all texts of the bank before the edits.
        characters_after: the characters of all texts of the bank after the edits.
        read_characters: the budget: how many characters were read for one question at most.
    """

    reward: float
    delta: float
    delta_shown: float
    delta_hidden: float
    qa_before: float
    qa_after: float
    qa_hidden_after: float
    storage_cost: float
    refund: float
    growth: float
    characters_before: float
    characters_after: float
    read_characters: float

    def to_dict(self) -> dict[str, float]:
        """Returns the parts by name."""
        return asdict(self)


def budgeted_reward(
    readings: Readings,
    shown: StoredQuestion | None,
    hidden: Sequence[StoredQuestion],
    *,
    scorer: Scorer,
    config: RewardConfig,
) -> BudgetedParts:
    """Returns the reward of the edits between two readings.

    A question for which both banks give the same texts is scored once, so that a scorer with noise cannot reward an
    edit that changed nothing it sees.

    Args:
        readings: the broker's answer for the shown question, if there is one, and then the hidden ones.
        shown: the question that the policy was given; None in a session episode.
        hidden: the questions that it was not given.
        scorer: the scorer.
        config: the price of storage and the refund.

    Raises:
        FieldError: the scorer returned something that is not a number from 0 to 1.
        ValueError: there is no question, or the readings are of other questions.
    """
    questions = [*([shown] if shown else []), *hidden]
    if not questions:
        raise ValueError("a reward needs at least one question")
    weights = _weights(shown is not None, len(hidden))
    before, after = _scores(questions, readings, scorer)
    changes = [
        min(0.0, new - old) if question.category == ABSTENTION_CATEGORY else new - old
        for question, old, new in zip(questions, before, after, strict=True)
    ]
    delta = _weighted(weights, changes)
    characters_before, characters_after = readings["before"]["characters"], readings["after"]["characters"]
    growth = (characters_after - characters_before) / readings["read_characters"]
    storage_cost = config.storage_price * max(0.0, growth)
    refund = 0.0
    if growth < 0 and all(change >= -SAME_SCORE for change in changes):
        saved = 1 - characters_after / characters_before
        refund = min(config.refund * saved, config.storage_price * -growth)
    own, others = (changes[:1], changes[1:]) if shown else ([], changes)
    hidden_after = after[len(own) :]
    return BudgetedParts(
        reward=delta - storage_cost + refund,
        delta=delta,
        delta_shown=math.fsum(own),
        delta_hidden=math.fsum(others) / len(others) if others else 0.0,
        qa_before=_weighted(weights, before),
        qa_after=_weighted(weights, after),
        qa_hidden_after=math.fsum(hidden_after) / len(hidden_after) if hidden_after else 0.0,
        storage_cost=storage_cost,
        refund=refund,
        growth=growth,
        characters_before=float(characters_before),
        characters_after=float(characters_after),
        read_characters=float(readings["read_characters"]),
    )


def _weights(shown: bool, hidden: int) -> list[float]:
    if not shown:
        return [1 / hidden] * hidden
    return [SHOWN_WEIGHT, *([(1 - SHOWN_WEIGHT) / hidden] * hidden)] if hidden else [1.0]


def _weighted(weights: Sequence[float], values: Sequence[float]) -> float:
    return math.fsum(weight * value for weight, value in zip(weights, values, strict=True))


def _scores(questions: Sequence[StoredQuestion], readings: Readings, scorer: Scorer) -> tuple[list[float], list[float]]:
    """Returns the scores of the questions before and after, each item scored once."""
    sides = [
        [
            ScoreItem(question.question, question.answer, texts, question.category)
            for question, texts in zip(questions, readings[side]["texts"], strict=True)
        ]
        for side in ("before", "after")
    ]
    wanted = dict.fromkeys(item for side in sides for item in side if _has_signal(item))
    scores = dict(zip(wanted, score_items(scorer, list(wanted)), strict=True)) if wanted else {}
    before, after = ([scores.get(item, NO_SIGNAL) for item in side] for side in sides)
    return before, after


def _has_signal(item: ScoreItem) -> bool:
    """Whether there is something to score. An abstention question has no answer by nature, and is scored."""
    return bool(item.answer.strip()) or item.category == ABSTENTION_CATEGORY
