"""The reward's arithmetic against cases computed by hand, and its laws.

Rows U26, U27, U28, U31, U32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memupdate.errors import FieldError
from memupdate.rewards import (
    BankState,
    RewardConfig,
    change_factor,
    density_factor,
    memory_reward,
    reward_from_states,
    size_factor,
)
from memupdate.rewards.formulas import monotone, product

QUESTION, ANSWER = "Where does Ana live?", "Porto"


class TableScorer:
    """Scores by the first retrieved text; remembers what it was asked."""

    name = "table"

    def __init__(self, **scores: float) -> None:
        self.scores = scores
        self.asked: list[tuple[str, ...]] = []

    def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
        self.asked.append(tuple(retrieved))
        return self.scores[retrieved[0]] if retrieved else 0.0


def state(count: int, mean_characters: float = 50.0, *retrieved: str) -> BankState:
    return BankState(count, mean_characters, retrieved)


def parts_of(
    before: BankState, after: BankState, config: RewardConfig | None = None, **scores: float
) -> dict[str, float]:
    scorer = TableScorer(**scores)
    return reward_from_states(before, after, QUESTION, ANSWER, scorer=scorer, config=config).to_dict()


def test_u26_growth_by_hand() -> None:
    # N 200 -> 230: over the cap of 200 by 30, so 1 - 30/200 = 0.85; change 1 - 0.5 * 30/200 = 0.925;
    # characters 40 -> 44: 1.1; product 0.85 * 1.1 * 0.925 = 0.864875; delta 0.9 - 0.3 = 0.6; reward 0.518925.
    assert parts_of(state(200, 40, "a"), state(230, 44, "b"), a=0.3, b=0.9) == pytest.approx(
        {
            "reward": 0.518925,
            "delta": 0.6,
            "efficiency": 0.864875,
            "size_factor": 0.85,
            "density_factor": 1.1,
            "change_factor": 0.925,
            "qa_before": 0.3,
            "qa_after": 0.9,
        }
    )


def test_u26_loss_by_hand_in_both_formulas() -> None:
    # N 100 -> 90: size 1, change 1 - 0.5 * 10/100 = 0.95, characters 50 -> 40: 0.8; efficiency 0.76; delta 0.2 - 0.7.
    before, after = state(100, 50, "a"), state(90, 40, "b")
    product = parts_of(before, after, RewardConfig.original(), a=0.7, b=0.2)
    monotone = parts_of(before, after, a=0.7, b=0.2)
    assert product["reward"] == pytest.approx(-0.5 * 0.76)
    assert monotone["reward"] == pytest.approx(-0.5 * 1.24)
    assert {**product, "reward": 0} == {**monotone, "reward": 0}


def test_u26_original_formula_on_a_locomo_bank_is_pinned_to_the_floor() -> None:
    # 184 memories under an absolute cap of 100: 1 - 84/100 = 0.16; a bank of 324 falls to the floor 0.1.
    assert parts_of(state(184, 50, "a"), state(184, 50, "b"), RewardConfig.original(), a=0.2, b=0.4)[
        "reward"
    ] == pytest.approx(0.2 * 0.16)
    assert size_factor(324, 100) == 0.1
    assert parts_of(state(324, 50, "a"), state(324, 50, "b"), a=0.2, b=0.4)["efficiency"] == 1.0


@pytest.mark.parametrize(
    ("count", "cap", "expected"), [(0, 100, 1), (100, 100, 1), (101, 100, 0.99), (150, 100, 0.5), (500, 100, 0.1)]
)
def test_u31_size_factor(count: int, cap: float, expected: float) -> None:
    assert size_factor(count, cap) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(50, 55, 1.1), (50, 60, 1.2), (50, 500, 1.2), (50, 25, 0.5), (50, 0, 0.0), (0, 9, 1)],
)
def test_u31_density_factor(before: float, after: float, expected: float) -> None:
    assert density_factor(state(10 if before else 0, before), state(10, after)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(10, 10, 1), (10, 9, 0.95), (10, 11, 0.95), (10, 6, 0.8), (10, 0, 0.8), (10, 99, 0.8)],
)
def test_u31_change_factor(before: int, after: int, expected: float) -> None:
    assert change_factor(before, after) == pytest.approx(expected)


def test_u31_efficiency_floor_when_everything_is_deleted() -> None:
    assert parts_of(state(10, 50, "a"), state(0, 0), a=0.9) == pytest.approx(
        {
            "reward": -0.8 * 1.9,  # QA after is the floor 0.1; efficiency 1 * 0 * 0.8 is clamped to 0.1
            "delta": -0.8,
            "efficiency": 0.1,
            "size_factor": 1.0,
            "density_factor": 0.0,
            "change_factor": 0.8,
            "qa_before": 0.9,
            "qa_after": 0.1,
        }
    )


counts = st.integers(min_value=0, max_value=2000)
lengths = st.floats(min_value=0, max_value=8000)
unit = st.floats(min_value=0, max_value=1)
configs = st.builds(
    RewardConfig,
    formula=st.sampled_from(["monotone", "product"]),
    cap_mode=st.sampled_from([None, "relative", "absolute"]),
    cap=st.none() | st.floats(min_value=1e-3, max_value=1e4),
)


@given(counts, counts, lengths, lengths, unit, unit, configs)
def test_u31_every_part_stays_in_its_range(
    n0: int, n1: int, c0: float, c1: float, qa0: float, qa1: float, config: RewardConfig
) -> None:
    parts = parts_of(state(n0, c0, "a"), state(n1, c1, "b"), config, a=qa0, b=qa1)
    assert all(math.isfinite(value) for value in parts.values())
    assert 0.1 <= parts["size_factor"] <= 1
    assert 0 <= parts["density_factor"] <= 1.2
    assert 0.8 <= parts["change_factor"] <= 1
    assert 0.1 <= parts["efficiency"] <= 1.5
    assert 0.1 <= parts["qa_before"] <= 1 and 0.1 <= parts["qa_after"] <= 1
    assert parts["delta"] == parts["qa_after"] - parts["qa_before"]
    assert math.copysign(1, parts["reward"]) == math.copysign(1, parts["delta"]) or parts["delta"] == 0


efficiencies = st.floats(min_value=0.1, max_value=1.5)


@given(st.floats(min_value=-0.9, max_value=0.9), efficiencies, efficiencies)
def test_u31_monotone_formula_never_punishes_efficiency(delta: float, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert monotone(delta, low) <= monotone(delta, high)
    assert monotone(delta, 1.0) == delta


@given(st.floats(min_value=-0.9, max_value=-0.01))
def test_u31_original_formula_punishes_efficiency_after_a_loss(delta: float) -> None:
    assert product(delta, 0.2) > product(delta, 1.0)


def test_u28_each_side_is_scored_on_its_own_bank() -> None:
    scorer = TableScorer(a=0.2, b=0.8)
    parts = reward_from_states(state(3, 9, "a"), state(3, 9, "b"), QUESTION, ANSWER, scorer=scorer)
    assert scorer.asked == [("a",), ("b",)]
    assert (parts.qa_before, parts.qa_after) == (0.2, 0.8)


def test_u27_no_edit_is_zero_even_with_a_noisy_scorer() -> None:
    class Noisy(TableScorer):
        def score(self, question: str, answer: str, retrieved: Sequence[str], category: int | None = None) -> float:
            self.asked.append(tuple(retrieved))
            return 0.1 + 0.1 * len(self.asked)

    scorer = Noisy()
    parts = memory_reward(state(3, 9, "a"), state(3, 9, "a"), QUESTION, ANSWER, scorer=scorer)
    assert (parts.reward, parts.delta, parts.efficiency) == (0, 0, 1)
    assert len(scorer.asked) == 1


def test_u27_adding_and_losing_the_answer_with_overlap() -> None:
    without, with_answer = state(5, 30, "Ana likes fish"), state(5, 30, "Ana moved to Porto")
    assert memory_reward(without, with_answer, QUESTION, ANSWER).reward == pytest.approx(0.9)
    assert memory_reward(with_answer, without, QUESTION, ANSWER).reward == pytest.approx(-0.9)


def test_qa_floor_and_empty_answer() -> None:
    assert parts_of(state(3, 9, "a"), state(3, 9, "b"), a=0.0, b=0.05)["reward"] == 0
    scorer = TableScorer()
    parts = reward_from_states(state(3, 9, "a"), state(4, 9, "b"), QUESTION, "  ", scorer=scorer)
    assert (parts.qa_before, parts.qa_after, parts.reward, scorer.asked) == (0.5, 0.5, 0, [])


def test_abstention_questions_reach_the_scorer_without_an_answer() -> None:
    scorer = TableScorer(a=0.0, b=1.0)
    parts = reward_from_states(state(3, 9, "a"), state(3, 9, "b"), QUESTION, "", scorer=scorer, category=5)
    assert parts.delta == pytest.approx(0.9)


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.5, math.inf])
def test_a_score_outside_the_unit_interval_is_an_error(bad: float) -> None:
    with pytest.raises(FieldError, match="scorer table"):
        parts_of(state(3, 9, "a"), state(3, 9, "b"), a=bad, b=0.5)


def test_u32_caps_relative_and_absolute() -> None:
    assert RewardConfig(formula="monotone").cap_on(184) == 184
    assert RewardConfig(cap=1.5).cap_on(200) == 300
    assert RewardConfig(cap_mode="absolute").cap_on(184) == 100
    assert RewardConfig(cap_mode="absolute", cap=400).cap_on(184) == 400
    assert RewardConfig(cap_mode="relative", formula="product").cap_on(184) == 184
    half_over = parts_of(state(100, 9, "a"), state(180, 9, "a"), RewardConfig(formula="monotone", cap=1.2), a=0.5)
    assert half_over["size_factor"] == pytest.approx(0.5)


def test_u32_original_preset_is_what_product_means() -> None:
    assert (
        RewardConfig.original() == RewardConfig(formula="product") == RewardConfig.from_mapping({"formula": "product"})
    )
    assert (RewardConfig.original().cap_mode, RewardConfig.original().cap) == ("absolute", 100.0)
    assert (RewardConfig().cap_mode, RewardConfig().cap) == ("relative", 1.0)


def test_an_empty_starting_bank_is_well_defined() -> None:
    assert math.isinf(RewardConfig().cap_on(0))
    filled = parts_of(state(0, 0), state(7, 40, "b"), b=1.0)
    assert filled == pytest.approx(
        {
            "reward": 0.9 * 0.8,
            "delta": 0.9,
            "efficiency": 0.8,
            "size_factor": 1.0,
            "density_factor": 1.0,
            "change_factor": 0.8,
            "qa_before": 0.1,
            "qa_after": 1.0,
        }
    )
    untouched = parts_of(state(0, 0), state(0, 0))
    assert (untouched["reward"], untouched["efficiency"]) == (0, 1)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"top_k": 0}, "reward.top_k"),
        ({"top_k": True}, "reward.top_k"),
        ({"top_k": 2.0}, "reward.top_k"),
        ({"formula": "sum"}, "reward.formula"),
        ({"cap_mode": "soft"}, "reward.cap_mode"),
        ({"call_penalty": -0.1}, "reward.call_penalty"),
        ({"call_penalty": float("inf")}, "reward.call_penalty"),
        ({"cap": 0}, "reward.cap"),
        ({"cap": -1.0}, "reward.cap"),
        ({"cap": math.nan}, "reward.cap"),
        ({"cap": "100"}, "reward.cap"),
        ({"capp": 1}, "reward.capp"),
        ({"scorer": "bleu"}, "reward.scorer.name"),
        ({"scorer": 3}, "reward.scorer"),
        ({"scorer": {"model": "x"}}, "reward.scorer"),
    ],
)
def test_u32_wrong_config_values_name_their_field(values: dict[str, object], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        RewardConfig.from_mapping(values)
    assert caught.value.field == field


@pytest.mark.parametrize(("count", "characters"), [(-1, 3.0), (1, -3.0), (1, math.nan)])
def test_a_bank_state_is_checked(count: int, characters: float) -> None:
    with pytest.raises(FieldError):
        BankState(count, characters, ())
