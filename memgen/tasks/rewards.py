"""Rewards by name: an answer's text and the reference's text, to 1.0 or 0.0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from memgen.tasks.math_answers import math_reward
from memupdate.errors import FieldError

# The answer's text, then the reference's.
Reward = Callable[[str, str], float]


def exact_reward(answer: str, reference: str) -> float:
    """1.0 where the answer is the reference's words; case and surrounding blanks are ignored."""
    return float(answer.strip().casefold() == reference.strip().casefold())


REWARDS: dict[str, Reward] = {
    "math": math_reward,
    "math_first_box": partial(math_reward, box="first"),
    "exact": exact_reward,
}


def reward_of(name: str) -> Reward:
    """The reward of a name.

    Raises:
        FieldError: no reward has that name.
    """
    if name not in REWARDS:
        raise FieldError("reward", name, ", ".join(REWARDS))
    return REWARDS[name]
