"""The one sampler of generation and of the rollout server, against a walk along the distribution."""

from __future__ import annotations

import math

import torch

from memgen.base.sampling import draw
from memupdate.inverse_cdf import inverse_cdf
from memupdate.platform.rollout.decoding import sample_rows


def walked(logits: list[float], number: float) -> int:
    """The first id whose cumulative probability exceeds the number, by sums in a loop."""
    weights = [math.exp(logit - max(logits)) for logit in logits]
    reached = 0.0
    for token, weight in enumerate(weights):
        reached += weight / sum(weights)
        if reached > number:
            return token
    return len(logits) - 1


def test_an_id_is_the_first_whose_cumulative_probability_exceeds_the_number() -> None:
    source = torch.Generator().manual_seed(3)
    logits_RV = torch.randn(200, 7, generator=source, dtype=torch.float64) * 3
    uniform_R = torch.rand(200, generator=source, dtype=torch.float64)
    expected = [walked(row, number) for row, number in zip(logits_RV.tolist(), uniform_R.tolist(), strict=True)]
    assert len(set(expected)) == 7
    assert inverse_cdf(logits_RV, uniform_R).tolist() == expected


def test_an_id_of_no_probability_is_never_drawn() -> None:
    logits_RV = torch.tensor([[-1.0e4, 0.0, -1.0e4]]).expand(3, -1)
    assert inverse_cdf(logits_RV, torch.tensor([0.0, 0.5, 1 - 2.0**-53], dtype=torch.float64)).tolist() == [1, 1, 1]


def test_generation_and_the_rollout_server_draw_alike() -> None:
    """The same numbers give the same ids, at a temperature too; a greedy row is the most likely id."""
    logits_RV = torch.randn(50, 11, generator=torch.Generator().manual_seed(0))
    generators = [torch.Generator().manual_seed(seed) for seed in range(50)]
    uniform_R = torch.stack([torch.rand((), generator=one.clone_state(), dtype=torch.float64) for one in generators])
    temperature_R = torch.full((50,), 0.5, dtype=torch.float64)
    assert torch.equal(draw(logits_RV.double() / 0.5, generators), sample_rows(logits_RV, temperature_R, uniform_R))
    assert torch.equal(sample_rows(logits_RV, temperature_R * 0, uniform_R), logits_RV.argmax(-1))
