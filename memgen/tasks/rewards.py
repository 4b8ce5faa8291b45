"""The table of rewards. It maps a name to a function of the answer's text and the reference's text."""

from __future__ import annotations

from collections.abc import Callable

from memupdate.tables import Table

# A function of the answer's text and the reference's text. It returns a number, 1.0 for a correct answer.
Reward = Callable[[str, str], float]

REWARDS: Table[Reward] = Table(
    "memgen.rewards",
    "dataset.reward",
    {
        "math": "memgen.tasks.math_answers:math_reward",
        "math_first_box": "memgen.tasks.math_answers:math_reward_of_first_box",
        "exact": "memgen.tasks.exact_answers:exact_reward",
    },
)
