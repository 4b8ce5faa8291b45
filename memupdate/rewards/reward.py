"""The rewards ``monotone`` and ``product``: how much better one question is answered, weighed by the bank's efficiency.

``delta = QA(after) - QA(before)``, where each side is scored on the memories that its own bank retrieves. A formula
(:mod:`memupdate.rewards.formulas`) joins delta with the bank's efficiency (:mod:`memupdate.rewards.efficiency`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from memupdate.errors import FieldError
from memupdate.rewards.bank_state import BankState, ReadableBank
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import ABSTENTION_CATEGORY, NO_SIGNAL, ScoreItem, Scorer, score_items
from memupdate.rewards.efficiency import Efficiency
from memupdate.rewards.formulas import FORMULAS, Budgeted
from memupdate.rewards.scorers import make_scorer

QA_FLOOR = 0.1
MONOTONE_NAME = "monotone"


@dataclass(frozen=True, slots=True)
class RewardParts:
    """A reward and the parts it was computed from.

    Attributes:
        reward: the formula's value.
        delta: ``qa_after - qa_before``.
        efficiency: product of the three factors, clamped to [0.1, 1.5].
        size_factor: 1 up to the cap, lower above it.
        density_factor: mean characters per memory, after over before, at most 1.2.
        change_factor: 1 for an unchanged number of memories, lower for a change, at least 0.8.
        qa_before: score of the question on the bank before the edits, from 0.1 to 1.
        qa_after: score of the question on the bank after the edits, from 0.1 to 1.
    """

    reward: float
    delta: float
    efficiency: float
    size_factor: float
    density_factor: float
    change_factor: float
    qa_before: float
    qa_after: float

    def to_dict(self) -> dict[str, float]:
        """Returns the parts by name."""
        return asdict(self)


def qa_scores(scorer: Scorer, items: Sequence[ScoreItem]) -> list[float]:
    """Scores items for the reward.

    Returns:
        One score per item, in order: the scorer's value, at least 0.1. An item with an empty answer has 0.5, unless it
        is an abstention question (category 5): those have no answer by nature, and the scorer gets them all the same.

    Raises:
        FieldError: the scorer returned something that is not a number from 0 to 1.
    """
    to_score = [item for item in items if item.answer.strip() or item.category == ABSTENTION_CATEGORY]
    scores = dict(zip(to_score, score_items(scorer, to_score), strict=True)) if to_score else {}
    return [max(QA_FLOOR, scores.get(item, NO_SIGNAL)) for item in items]


def reward_from_states(
    before: BankState,
    after: BankState,
    question: str,
    answer: str,
    *,
    scorer: Scorer | None = None,
    config: RewardConfig | None = None,
    category: int | None = None,
) -> RewardParts:
    """Returns the reward of editing ``before`` into ``after``.

    Each side is scored on the texts that its bank retrieved. If both banks retrieved the same texts, they are scored
    once, so that a scorer with noise cannot reward an edit that changed nothing it sees.

    Args:
        before: the bank at the trajectory's start.
        after: the bank at its end.
        question: the target question.
        answer: its gold answer. An empty answer means that there is none; both banks then score 0.5.
        scorer: a scorer that was made once and is used again. None makes the one that ``config`` names, which may load
            a model.
        config: the formula and the cap; None is ``RewardConfig(formula="monotone")``.
        category: LoCoMo's category, for the scorer.

    Raises:
        FieldError: the scorer's config is not allowed, or its score is not a number from 0 to 1.
    """
    config = config or RewardConfig(formula=MONOTONE_NAME)
    formula = FORMULAS.load(config.formula)
    if isinstance(formula, Budgeted):
        allowed = "a formula of delta and efficiency; `budgeted` is computed by budgeted_reward, from readings"
        raise FieldError("reward.formula", config.formula, allowed)
    scorer = scorer or make_scorer(config.scorer)
    old = ScoreItem(question, answer, before.retrieved, category)
    new = ScoreItem(question, answer, after.retrieved, category)
    if old == new:
        qa_before = qa_after = qa_scores(scorer, [old])[0]
    else:
        qa_before, qa_after = qa_scores(scorer, [old, new])
    delta = qa_after - qa_before
    efficiency = Efficiency.of(before, after, config.cap_on(before.count))
    return RewardParts(
        reward=formula.combine(delta, efficiency.value),
        delta=delta,
        efficiency=efficiency.value,
        size_factor=efficiency.size,
        density_factor=efficiency.density,
        change_factor=efficiency.change,
        qa_before=qa_before,
        qa_after=qa_after,
    )


def memory_reward(
    before: ReadableBank | BankState,
    after: ReadableBank | BankState,
    question: str,
    answer: str,
    *,
    scorer: Scorer | None = None,
    config: RewardConfig | None = None,
    category: int | None = None,
) -> RewardParts:
    """Returns the reward of editing the bank ``before`` into the bank ``after``.

    Args:
        before: the bank before the edits: a ``MemoryBank``, a snapshot of one, or a ``BankState`` that was read with
            the config's ``top_k``. ``bank.initial`` is a bank as it was at its start.
        after: the bank after the edits, in any of the same forms.
        question: the target question.
        answer: its gold answer; empty if there is none.
        scorer: as in ``reward_from_states``.
        config: as in ``reward_from_states``.
        category: as in ``reward_from_states``.

    Raises:
        FieldError: as ``reward_from_states``, or the question is empty.
    """
    config = config or RewardConfig(formula=MONOTONE_NAME)
    old, new = (
        bank if isinstance(bank, BankState) else BankState.of(bank, question, config.top_k) for bank in (before, after)
    )
    return reward_from_states(old, new, question, answer, scorer=scorer, config=config, category=category)
