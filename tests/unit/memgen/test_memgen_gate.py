"""The gate: probabilities, gradients and entropy in closed form."""

from __future__ import annotations

import pytest
import torch
from tiny_models import INFERENCE_IDS, PROMPT_IDS, VOCAB

from memgen.base.sampling import MASKED
from memgen.weaver.gate import gate_logits
from memgen.weaver.stream import ReservedIds

RESERVED = ReservedIds(tuple(PROMPT_IDS), tuple(INFERENCE_IDS))
TEXT = [token for token in range(VOCAB) if token not in RESERVED.all]
FIRST = INFERENCE_IDS[0]


def gated(
    logits: torch.Tensor,
    z: torch.Tensor,
    temperature: float = 1.0,
    asked: int = FIRST,
    forced: int = 0,
    mode: str = "learned",
) -> torch.Tensor:
    rows = len(logits)
    return gate_logits(
        logits.clone(), z, torch.full((rows,), asked), torch.full((rows,), forced), RESERVED, mode, temperature
    )


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(200, VOCAB) * 4, torch.linspace(-12, 12, 200)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.3, 2.0])
def test_the_policy_is_the_trigger_times_the_reasoner(
    case: tuple[torch.Tensor, torch.Tensor], temperature: float
) -> None:
    """G9: P(insert) = sigmoid(z/T), every text id has (1 - P)·softmax(l/T), every other reserved id nothing."""
    logits, z = case
    policy = (gated(logits, z, temperature) / temperature).softmax(-1)
    insert = torch.sigmoid(z / temperature)
    torch.testing.assert_close(policy[:, FIRST], insert, atol=2e-6, rtol=0)
    reasoner = (logits[:, TEXT] / temperature).softmax(-1)
    torch.testing.assert_close(policy[:, TEXT], (1 - insert)[:, None] * reasoner, atol=2e-6, rtol=0)
    assert policy[:, [token for token in RESERVED.all if token != FIRST]].max() == 0


def test_greedy_decoding_is_the_rule_z_above_zero(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    """G9."""
    logits, z = case
    ids = gated(logits, z, 0).argmax(-1)
    assert torch.equal(ids == FIRST, z > 0)
    text = torch.tensor(TEXT)[logits[:, TEXT].argmax(-1)]
    assert torch.equal(ids[z <= 0], text[z <= 0])


def test_modes_and_forced_rows(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    """G8: always inserts where asked, never gives the reasoner's own distribution; inside a block the id is forced."""
    logits, z = case
    for row in (gated(logits, z, mode="always"), gated(logits, z, asked=0, forced=FIRST)):
        assert (row.log_softmax(-1)[:, FIRST] == 0).all()
    vanilla = gated(logits, z, mode="never").softmax(-1)
    torch.testing.assert_close(vanilla[:, TEXT], logits[:, TEXT].softmax(-1))
    not_asked = gated(logits, z, asked=0).softmax(-1)
    torch.testing.assert_close(not_asked, vanilla)


def test_gradients_are_those_of_a_bernoulli_choice(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Decisions train the trigger: dlog P/dz = sigmoid(-z) for an insertion, -sigmoid(z) for a skip; an insertion says
    nothing of the reasoner."""
    logits, z = case
    logits.requires_grad_()
    z.requires_grad_()
    inserted = torch.arange(len(z)) % 2 == 0
    labels = torch.where(inserted, FIRST, torch.tensor(TEXT[3]))
    gated(logits, z).log_softmax(-1).gather(1, labels[:, None]).sum().backward()
    assert z.grad is not None and logits.grad is not None
    expected = torch.where(inserted, torch.sigmoid(-z), -torch.sigmoid(z)).detach()
    torch.testing.assert_close(z.grad, expected, atol=1e-5, rtol=0)
    assert logits.grad[inserted].abs().max() < 1e-5


def test_entropy_is_that_of_the_two_choices(case: tuple[torch.Tensor, torch.Tensor]) -> None:
    """H = H(insert?) + (1 - P)·H(reasoner), finite everywhere; 0 in a forced row."""
    logits, z = case

    def entropy(rows: torch.Tensor) -> torch.Tensor:
        return -(rows.softmax(-1) * rows.log_softmax(-1)).sum(-1)

    insert = torch.sigmoid(z.double())
    choice = -(insert * insert.log() + (1 - insert) * (1 - insert).log())
    expected = choice + (1 - insert) * entropy(logits[:, TEXT].double())
    torch.testing.assert_close(entropy(gated(logits, z)).double(), expected, atol=1e-4, rtol=0)
    assert entropy(gated(logits, z, asked=0, forced=FIRST)).abs().max() == 0


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_half_precision_keeps_the_decision(case: tuple[torch.Tensor, torch.Tensor], shift: float) -> None:
    """G35: rows are normalised before z is written, so bf16 loses nothing to large logits."""
    logits, z = case
    z = z.clamp(-4, 4)
    policy = gated((logits + shift).bfloat16(), z).float().softmax(-1)
    assert (policy[:, FIRST] - torch.sigmoid(z)).abs().max() < 0.02
    assert gated(logits.half(), z).isfinite().all() and torch.finfo(torch.float16).min < MASKED
