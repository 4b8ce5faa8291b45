"""Both rollout servers, alone: same tokens, log-probs of the loaded policy, seeds, weight updates, crashes.

Rows U36.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from rollout_server import DEADLINE_S, Server
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.slow
PROMPT = list(range(300, 360))


@pytest.fixture(scope="module")
def model_dir(tiny_model: Path) -> Path:
    return tiny_model


def weights(model_dir: Path, seed: int | None) -> dict[str, torch.Tensor]:
    """The model's weights; with a seed, moved at random."""
    state = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).state_dict()
    state.pop("lm_head.weight", None)  # tied
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        state = {name: w + 0.02 * torch.randn(w.shape, generator=generator) for name, w in state.items()}
    return state


@pytest.fixture(scope="module", params=["torch", "sglang_cpu"])
def server(request: pytest.FixtureRequest, ray_session: Any, model_dir: Path) -> Iterator[Server]:
    started = Server(request.param, model_dir)
    yield started
    ray.kill(started.handle)


def reference_log_probs(model_dir: Path, state: dict[str, torch.Tensor], prompt: list[int], tokens: list[int]) -> Any:
    """Log-probs of ``tokens`` after ``prompt`` by one forward of transformers, fp32."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        logits = model(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1]
    log_probs = torch.log_softmax(logits, -1)
    return logits.argmax(-1).tolist(), [float(log_probs[row, token]) for row, token in enumerate(tokens)]


def test_greedy_tokens_and_log_probs_are_those_of_the_loaded_policy(server: Server) -> None:
    """After every weight update; log-probs of another version differ, so that the check cannot pass by accident."""
    versions = [weights(server.model_dir, seed) for seed in (None, 1, 2)]
    for step, state in enumerate(versions):
        server.load(step, state)
        output = server.generate(PROMPT, f"greedy{step}")
        tokens = list(output.token_ids)
        greedy, expected = reference_log_probs(server.model_dir, state, PROMPT, tokens)
        assert tokens == greedy
        np.testing.assert_allclose(output.log_probs, expected, atol=1e-5)
        assert output.extra_fields["global_steps"] == step
        _, stale = reference_log_probs(server.model_dir, versions[step - 1], PROMPT, tokens)
        assert np.abs(np.array(stale) - expected).max() > 1e-3


def test_a_turn_stops_at_the_end_token(server: Server) -> None:
    """Where every token is a stop token, a turn is one token long."""
    tokenizer = AutoTokenizer.from_pretrained(server.model_dir)
    state = weights(server.model_dir, None)
    server.load(10, state)
    output = server.generate(PROMPT, "stop", stop_token_ids=list(range(len(tokenizer))))
    assert len(output.token_ids) == 1


def test_a_second_request_reads_the_prefix_cache(server: Server) -> None:
    if server.name != "sglang_cpu":
        pytest.skip("the torch server has no prefix cache")
    prompt = [token + 7 for token in PROMPT]
    assert server.generate(prompt, "p1").extra_fields["num_cached_tokens"] == 0
    assert server.generate(prompt, "p2").extra_fields["num_cached_tokens"] >= len(prompt) - 1
    server.load(11, weights(server.model_dir, 3))
    assert server.generate(prompt, "p3").extra_fields["num_cached_tokens"] == 0


def test_u36_seeds_decide_the_tokens(server: Server) -> None:
    """The same seed gives the same tokens among any other requests; SGLang on CPU does not promise that."""
    if server.name != "torch":
        pytest.skip("SGLang honours seeds in its deterministic mode only, which has no CPU kernels")
    server.load(12, weights(server.model_dir, None))
    alone = server.generate(PROMPT, "s0", temperature=1.0, sampling_seed=7)
    crowd = [server.submit(PROMPT[: 10 + i], f"s{i}", temperature=1.0, sampling_seed=i) for i in range(12)]
    again = server.generate(PROMPT, "s99", temperature=1.0, sampling_seed=7)
    assert list(again.token_ids) == list(alone.token_ids)
    other = server.generate(PROMPT, "s100", temperature=1.0, sampling_seed=8)
    assert list(other.token_ids) != list(alone.token_ids)
    ray.get(crowd, timeout=DEADLINE_S)


def test_the_torch_server_refuses_what_it_does_not_implement(server: Server) -> None:
    if server.name != "torch":
        pytest.skip("SGLang implements top_p")
    with pytest.raises(ray.exceptions.RayTaskError, match=r"sampling_params.top_p.*got 0.5"):
        server.generate(PROMPT, top_p=0.5)


def test_a_killed_engine_comes_back_with_the_current_policy(server: Server) -> None:
    """SIGKILL of SGLang's scheduler (of the whole server for torch) while requests run: all are answered."""
    state = weights(server.model_dir, 5)
    server.load(20, state)
    before = server.generate(PROMPT, "before")
    if server.name == "sglang_cpu":
        children = ray.get(server.handle.status.remote(), timeout=DEADLINE_S)["children"]
        victim = next(pid for pid, name in children.items() if "schedul" in name)
    else:
        victim = ray.get(server.handle.launch_server.remote(), timeout=DEADLINE_S)[1]
    running = [server.submit([*PROMPT, 300 + i], f"k{i}", max_new_tokens=400, ignore_eos=True) for i in range(4)]
    os.kill(victim, signal.SIGKILL)
    answers = ray.get(running, timeout=DEADLINE_S)
    assert all(answer.token_ids for answer in answers)
    after = server.generate(PROMPT, "after")
    assert list(after.token_ids) == list(before.token_ids)
    assert after.extra_fields["global_steps"] == 20
