"""What a stage's policy gradient is taken over, and the trigger's penalty (G18, G20, G21, G42)."""

from __future__ import annotations

import random

import pytest

from memgen.weaver.actions import action_mask
from memgen.weaver.generated import INSERTED, NOT_ASKED, SKIPPED, Generated
from memgen.weaver.invocation import invocation_penalties, invocation_rate
from memgen.weaver.stream import ReservedIds

RESERVED = ReservedIds((90, 91), (95, 96, 97))
# Insert at the prompt's end; text 5; a delimiter 7, after which the text 5 skips; 7 again, after which a block follows.
ANSWER = Generated(
    [1, 2],
    response_ids=[90, 91, 5, 7, 5, 7, 95, 96, 97, 6],
    log_probs=[0.0] * 10,
    decisions=[INSERTED, *[NOT_ASKED] * 3, SKIPPED, NOT_ASKED, INSERTED, *[NOT_ASKED] * 3],
)


@pytest.mark.parametrize(
    ("stage", "mask"),
    [
        ("weaver", [0, 0, 1, 1, 1, 1, 0, 0, 0, 1]),
        ("trigger", [1, 0, 0, 0, 1, 0, 1, 0, 0, 0]),
        ("both", [1, 0, 1, 1, 1, 1, 1, 0, 0, 1]),
    ],
)
def test_g18_g20_g42_a_stage_s_actions(stage: str, mask: list[int]) -> None:
    """A skip's text is an action of the trigger and of the weaver; the ids inside a block are nobody's."""
    assert action_mask(stage, ANSWER, RESERVED) == mask


def test_g21_the_penalty_of_a_group_worked_by_hand() -> None:
    """Rewards 1, 0, 1, 0: the good answers are the first and third, whose mean rate is 0.4. Of the other group, all
    are alike: the mean rate of all is 0.5."""
    groups = ["a", "a", "a", "a", "b", "b"]
    rewards = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    rates = [0.2, 0.9, 0.6, 0.1, 0.0, 1.0]
    found = invocation_penalties(groups, rewards, rates, 2.0)
    assert found == pytest.approx([0.0, 1.0, 0.4, 0.0, 0.0, 1.0])
    assert invocation_penalties(groups, rewards, rates, 0.0) == [0.0] * 6


def test_g21_a_high_reward_is_one_of_at_least_the_mean() -> None:
    """The mean reward is 0.5: 0.6 is high beside 1.0. The mean rate of the two is 0.5, not the best answer's 0.2."""
    found = invocation_penalties(["a"] * 4, [1.0, 0.6, 0.0, 0.4], [0.2, 0.8, 0.7, 0.4], 1.0)
    assert found == pytest.approx([0.0, 0.3, 0.2, 0.0])


def test_g21_groups_do_not_mix_and_their_order_does_not_matter() -> None:
    source = random.Random(0)
    rows = [(f"g{index % 3}", source.choice([0.0, 0.3, 1.0]), source.random()) for index in range(24)]
    shuffled = source.sample(rows, len(rows))

    def penalties(given: list[tuple[str, float, float]]) -> dict[tuple[str, float, float], float]:
        groups, rewards, rates = zip(*given, strict=True)
        return dict(zip(given, invocation_penalties(groups, rewards, rates, 0.7), strict=True))

    alone = {
        row: value for name in ("g0", "g1", "g2") for row, value in penalties([r for r in rows if r[0] == name]).items()
    }
    assert penalties(rows) == pytest.approx(alone)
    assert penalties(shuffled) == pytest.approx(alone)


def test_equal_rewards_whose_mean_is_rounded_up_leave_good_answers() -> None:
    """The mean of 0.1 and its like may be a bit above them; somebody has to be good nevertheless."""
    assert invocation_penalties(["a"] * 3, [0.1] * 3, [0.0, 0.5, 1.0], 1.0) == pytest.approx([0.0, 0.0, 0.5])


def test_a_rate_is_of_the_times_asked() -> None:
    assert invocation_rate(1, 4) == 0.25
    assert invocation_rate(0, 0) == 0.0
