"""The reward ``budgeted`` against cases done by hand. Rows V13 and V14, and section 1 of the reward's behaviour."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from memupdate.broker.results import Reading, Readings
from memupdate.data.questions import StoredQuestion
from memupdate.rewards.budgeted import BudgetedParts, budgeted_reward
from memupdate.rewards.config import RewardConfig
from memupdate.rewards.contract import ScoreItem

CONFIG = RewardConfig(storage_price=0.1, refund=0.2)


class Table:
    """A scorer that looks its scores up by the text that was retrieved, and counts what it is asked."""

    name = "table"

    def __init__(self) -> None:
        self.asked: list[ScoreItem] = []

    def score_batch(self, items: Sequence[ScoreItem]) -> list[float]:
        self.asked += items
        return [float(item.retrieved[0]) for item in items]


def question(index: int, category: int = 4, answer: str = "a") -> StoredQuestion:
    return StoredQuestion(index, f"q{index}", answer, category, ("D1:1",))


def reading(characters: int, *scores: float) -> Reading:
    return {"count": 1, "characters": characters, "texts": tuple((str(score),) for score in scores)}


def reward(
    before: Reading,
    after: Reading,
    shown: StoredQuestion | None = None,
    hidden: Sequence[StoredQuestion] = (),
    table: Table | None = None,
) -> BudgetedParts:
    readings: Readings = {"read_characters": 100, "before": before, "after": after}
    return budgeted_reward(readings, shown, hidden, scorer=table or Table(), config=CONFIG)  # type: ignore[arg-type]


def test_the_shown_question_has_half_of_the_weight() -> None:
    hidden = [question(1), question(2)]
    parts = reward(reading(500, 0.2, 0.5, 0.5), reading(500, 0.8, 0.7, 0.4), question(0), hidden)
    assert parts.delta_shown == pytest.approx(0.6)
    assert parts.delta_hidden == pytest.approx(0.05)
    assert parts.delta == parts.reward == pytest.approx(0.5 * 0.6 + 0.5 * 0.05)
    assert parts.qa_before == pytest.approx(0.5 * 0.2 + 0.5 * 0.5)
    assert parts.qa_after == pytest.approx(0.5 * 0.8 + 0.5 * 0.55)
    assert parts.qa_hidden_after == pytest.approx((0.7 + 0.4) / 2)  # the shown question's 0.8 is not in it
    assert reward(reading(1, 0.0, 0.4), reading(1, 1.0, 0.6), None, hidden).qa_hidden_after == pytest.approx(0.8)
    assert reward(reading(1, 0.25), reading(1, 1.0), question(0)).qa_hidden_after == 0


def test_hidden_or_shown_questions_alone_have_all_of_it() -> None:
    assert reward(reading(1, 0.0, 0.4), reading(1, 1.0, 0.6), None, [question(1), question(2)]).delta == 0.6
    assert reward(reading(1, 0.25), reading(1, 1.0), question(0)).delta == 0.75
    with pytest.raises(ValueError, match="at least one question"):
        reward(reading(1), reading(1))


def test_growth_costs_in_budgets() -> None:
    parts = reward(reading(500, 0.5), reading(750, 0.5), None, [question(1)])
    assert (parts.growth, parts.storage_cost, parts.refund) == (2.5, pytest.approx(0.25), 0.0)
    assert parts.reward == pytest.approx(-0.25)


@pytest.mark.parametrize(
    ("before", "after", "refund"),
    [
        (1000, 900, 0.2 * 0.1),  # a tenth of the bank
        (1000, 0, 0.2),
        (100, 50, 0.1 * 0.5),  # no more than it costs to store these characters
    ],
)
def test_saved_characters_pay_where_no_answer_fell(before: int, after: int, refund: float) -> None:
    parts = reward(reading(before, 0.5, 0.5), reading(after, 0.5, 0.6), None, [question(1), question(2)])
    assert parts.refund == pytest.approx(refund)
    assert parts.reward == pytest.approx(0.05 + refund)
    fell = reward(reading(before, 0.5, 0.5), reading(after, 0.49, 1.0), None, [question(1), question(2)])
    assert fell.refund == 0.0


def test_v14_storing_and_deleting_the_same_text_earns_nothing() -> None:
    stored = reward(reading(100, 0.5), reading(400, 0.5), None, [question(1)])
    deleted = reward(reading(400, 0.5), reading(100, 0.5), None, [question(1)])
    assert stored.reward + deleted.reward <= 0


def test_v14_doing_nothing_is_exactly_0_whatever_the_scorer_says() -> None:
    table = Table()
    same = reading(500, 0.123456789, 0.3)
    parts = reward(same, same, question(0), [question(1)], table)
    assert (parts.reward, parts.delta, parts.refund, parts.storage_cost) == (0.0, 0.0, 0.0, 0.0)
    assert len(table.asked) == 2  # the same texts are scored once


def test_v9_an_abstention_question_only_counts_where_its_score_falls() -> None:
    gained = reward(reading(10, 0.0, 0.5), reading(10, 1.0, 0.5), question(0, category=5), [question(1)])
    lost = reward(reading(10, 1.0, 0.5), reading(10, 0.0, 0.5), question(0, category=5), [question(1)])
    assert (gained.delta, lost.delta) == (0.0, -0.5)


def test_a_question_without_an_answer_says_nothing() -> None:
    table = Table()
    parts = reward(reading(10, 0.1), reading(10, 0.9), question(0, answer=" "), [], table)
    assert (parts.delta, parts.qa_before, table.asked) == (0.0, 0.5, [])
