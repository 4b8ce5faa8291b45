"""The torch rollout server's generation, without Ray.

Rows U36.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from memupdate.platform.rollout.decoding import (
    Generated,
    Request,
    ServedModel,
    generate_batch,
    sample_rows,
    served_model,
    uniform,
)


@pytest.fixture(scope="module")
def model() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=True,
    )
    network = Qwen3ForCausalLM(config)
    with torch.no_grad():
        network.model.embed_tokens.weight.normal_(0, 0.4)
    return network.double().eval()


def request(
    prompt: list[int],
    seed: int,
    temperature: float = 1.0,
    tokens: int = 12,
    stop: int = 63,
    bias: dict[int, float] | None = None,
) -> Request:
    return Request(prompt, tokens, temperature, seed, frozenset({stop}), bias or {})


@pytest.fixture(scope="module")
def served(model: Qwen3ForCausalLM) -> ServedModel:
    return served_model(model)


def test_a_row_follows_its_distribution() -> None:
    """Inverse CDF against the closed form: frequencies of 20,000 draws lie within 5 standard errors."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0])
    n = 20_000
    uniforms = torch.tensor(np.random.default_rng(0).random(n))
    drawn = sample_rows(logits.expand(n, 4), torch.full((n,), 0.7, dtype=torch.float64), uniforms)
    probability = torch.softmax(logits.double() / 0.7, -1)
    counts = Counter(drawn.tolist())
    for token in range(4):
        p = float(probability[token])
        assert abs(counts[token] / n - p) < 5 * (p * (1 - p) / n) ** 0.5


def test_the_edges_of_the_uniform_number_stay_inside_the_vocabulary() -> None:
    logits = torch.tensor([[-1e4, 0.0, 0.0, -1e4]] * 2)
    drawn = sample_rows(
        logits, torch.ones(2, dtype=torch.float64), torch.tensor([0.0, 1.0 - 2**-53], dtype=torch.float64)
    )
    assert drawn.tolist() == [1, 2]


def test_uniform_depends_on_seed_and_position_alone() -> None:
    values = [uniform(seed, position) for seed in range(40) for position in range(40)]
    assert values == [uniform(seed, position) for seed in range(40) for position in range(40)]
    assert len(set(values)) == len(values)
    assert min(values) >= 0
    assert max(values) < 1
    assert abs(np.mean(values) - 0.5) < 0.03


def test_u36_a_seeded_request_gives_the_same_tokens_in_any_batch(served: ServedModel) -> None:
    """Alone, or beside requests of other lengths: the batch's shape cannot decide a token."""
    generator = np.random.default_rng(1)
    prompts = [generator.integers(0, 63, size).tolist() for size in (3, 17, 9, 30, 1)]
    together = generate_batch(served, [request(p, seed) for seed, p in enumerate(prompts)])
    for seed, prompt in enumerate(prompts):
        [alone] = generate_batch(served, [request(prompt, seed)])
        assert alone.token_ids == together[seed].token_ids
        assert alone.stop_reason == together[seed].stop_reason
        np.testing.assert_allclose(alone.log_probs, together[seed].log_probs, atol=1e-12)


def test_log_probs_equal_a_full_forward_after_temperature(model: Qwen3ForCausalLM, served: ServedModel) -> None:
    prompt = [5, 9, 2, 40]
    [result] = generate_batch(served, [request(prompt, seed=3, temperature=0.7)])
    ids = torch.tensor([prompt + result.token_ids])
    with torch.no_grad():
        log_probs = torch.log_softmax(model(ids).logits[0, len(prompt) - 1 : -1] / 0.7, -1)
    expected = [float(log_probs[row, token]) for row, token in enumerate(result.token_ids)]
    np.testing.assert_allclose(result.log_probs, expected, atol=1e-10)


def test_temperature_zero_is_greedy(model: Qwen3ForCausalLM, served: ServedModel) -> None:
    prompt = [7, 7, 1]
    [result] = generate_batch(served, [request(prompt, seed=0, temperature=0.0, tokens=6)])
    ids = list(prompt)
    for token in result.token_ids:
        with torch.no_grad():
            assert token == int(model(torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(token)


def test_generation_ends_at_a_stop_id_or_at_the_limit(served: ServedModel) -> None:
    [free] = generate_batch(served, [request([4, 4], seed=5, tokens=10)])
    assert isinstance(free, Generated)
    assert free.stop_reason == "length"
    assert len(free.token_ids) == 10
    stop = free.token_ids[3]
    [stopped] = generate_batch(served, [request([4, 4], seed=5, tokens=10, stop=stop)])
    assert stopped.stop_reason == "completed"
    assert stopped.token_ids == free.token_ids[: free.token_ids.index(stop) + 1]


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.7])
def test_a_bias_is_added_to_the_logits_before_the_temperature(
    model: Qwen3ForCausalLM, served: ServedModel, temperature: float
) -> None:
    """One id is forced, another forbidden, a third nudged: tokens and log-probs of a full forward with the same sums;
    a request beside it without a bias has the model's own."""
    prompt, bias = [5, 9, 2, 40], {7: -1e4, 3: 1.5}
    free, biased = generate_batch(
        served, [request(prompt, 3, temperature), request(prompt, 3, temperature, tokens=30, bias=bias)]
    )
    [alone] = generate_batch(served, [request(prompt, 3, temperature)])
    assert free.token_ids == alone.token_ids
    with torch.no_grad():
        logits = model(torch.tensor([prompt + biased.token_ids])).logits[0, len(prompt) - 1 : -1]
    logits[:, 7] -= 1e4
    logits[:, 3] += 1.5
    log_probs = torch.log_softmax(logits / (temperature or 1.0), -1)
    expected = [float(log_probs[row, token]) for row, token in enumerate(biased.token_ids)]
    np.testing.assert_allclose(biased.log_probs, expected, atol=1e-10)
    if temperature == 0:
        assert biased.token_ids == logits.argmax(-1).tolist()
    assert 7 not in biased.token_ids
    [forced] = generate_batch(served, [request(prompt, 3, temperature, bias={7: 5e3})])
    assert set(forced.token_ids) == {7} and set(forced.log_probs) == {0.0}
