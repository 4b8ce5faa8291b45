"""The trigger's penalty in the advantages (G21): its closed formula, and what a simulated trigger learns from it.

Some questions cannot be answered. There all rewards are equal, and only the penalty tells the answers apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

from memgen.training.penalties import advantage_changes
from memgen.weaver.invocation import invocation_penalties

LAMBDA = 0.1  # the shipped one
GROUP = 8
# From groups, rewards and insertion rates to advantages.
Advantages = Callable[[Sequence[str], Sequence[float], Sequence[float]], torch.Tensor]


def verl_advantages(groups: Sequence[str], scores: Sequence[float]) -> torch.Tensor:
    """verl's, of answers with one action each."""
    found, _ = compute_grpo_outcome_advantage(
        torch.tensor(scores)[:, None], torch.ones(len(scores), 1), np.array(groups, dtype=object)
    )
    return found[:, 0]


def shipped(groups: Sequence[str], rewards: Sequence[float], rates: Sequence[float]) -> torch.Tensor:
    changes = advantage_changes(groups, invocation_penalties(groups, rewards, rates, LAMBDA))
    return verl_advantages(groups, rewards) + torch.tensor(changes)


def before_normalisation(groups: Sequence[str], rewards: Sequence[float], rates: Sequence[float]) -> torch.Tensor:
    """Penalties taken from the rewards, as it once was."""
    penalties = invocation_penalties(groups, rewards, rates, LAMBDA)
    return verl_advantages(groups, [reward - one for reward, one in zip(rewards, penalties, strict=True)])


def without(groups: Sequence[str], rewards: Sequence[float], rates: Sequence[float]) -> torch.Tensor:
    return verl_advantages(groups, rewards)


def test_g21_the_advantages_of_two_groups_worked_by_hand() -> None:
    """In ``a`` nobody is right: the mean rate is 0.5, the penalties 0.05, 0.05, 0, 0, and their mean 0.025.

    In ``b`` the first is right, at rate 0.25: the others' penalties are 0.075, 0, 0, and the mean of all 0.01875. The
    rewards of ``b`` have the mean 1/4 and the deviation 1/2.
    """
    groups = ["a"] * 4 + ["b"] * 4
    rewards = [0.0] * 4 + [1.0, 0.0, 0.0, 0.0]
    rates = [1.0, 1.0, 0.0, 0.0, 0.25, 1.0, 0.25, 0.0]
    expected = [-0.025, -0.025, 0.025, 0.025, 1.5 + 0.01875, -0.5 - 0.05625, -0.5 + 0.01875, -0.5 + 0.01875]
    assert shipped(groups, rewards, rates).tolist() == pytest.approx(expected, abs=1e-5)


def test_g21_changes_are_zero_in_the_mean_of_each_group() -> None:
    assert advantage_changes(["a", "b", "a"], [0.2, 0.7, 0.0]) == pytest.approx([-0.1, 0.0, 0.1])


def learnt(advantages: Advantages, seed: int, steps: int = 120) -> tuple[float, float]:
    """Insertion rate and reward, over the last steps, of a trigger that is asked four times in every answer.

    Half of the questions are never answered. The others are answered with probability 0.1, and with 0.5 if all blocks
    are inserted. The trigger starts at a rate of 0.37.
    """
    source = torch.Generator().manual_seed(seed)
    logit = torch.tensor(np.log(0.37 / 0.63), requires_grad=True)
    optimiser = torch.optim.AdamW([logit], lr=0.05, weight_decay=0.0)
    groups = [f"q{question}" for question in range(8) for _ in range(GROUP)]
    answerable = torch.tensor([question % 2 == 0 for question in range(8) for _ in range(GROUP)])
    history = []
    for _ in range(steps):
        inserted = (torch.rand(len(groups), 4, generator=source) < torch.sigmoid(logit.detach())).double()
        rates = inserted.mean(1)
        right = (torch.rand(len(groups), generator=source) < 0.1 + 0.4 * rates) & answerable
        scale = advantages(groups, right.double().tolist(), rates.tolist())
        log_probs = torch.nn.functional.logsigmoid(torch.where(inserted > 0, logit, -logit))
        optimiser.zero_grad()
        (-(scale[:, None] * log_probs).mean()).backward()
        optimiser.step()
        history.append((rates.mean().item(), right.double().mean().item()))
    rate, reward = np.mean(history[-20:], axis=0)
    return float(rate), float(reward)


@pytest.mark.parametrize("seed", [0, 1])
def test_questions_without_an_answer_do_not_collapse_the_trigger(seed: int) -> None:
    """Insertions are worth rewards in half of the questions, so the trigger learns to insert, as without a penalty."""
    rate, reward = learnt(shipped, seed)
    assert rate > 0.8 and reward > 0.2
    assert learnt(without, seed)[0] > 0.8


@pytest.mark.parametrize("seed", [0, 1])
def test_a_penalty_before_the_normalisation_collapses_the_trigger(seed: int) -> None:
    """The control: the same task shows the fault of the other formula."""
    rate, reward = learnt(before_normalisation, seed)
    assert rate < 0.1 and reward < 0.1
