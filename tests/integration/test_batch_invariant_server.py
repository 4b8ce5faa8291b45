"""The torch rollout server in fp32: with batch invariance, its log-probs do not depend on what else is in the batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from rollout_server import DEADLINE_S, Server
from transformers import AutoModelForCausalLM

from memupdate.platform.batch_invariant import BATCH_INVARIANT
from memupdate.platform.rollout.torch_server import TorchReplica

pytestmark = pytest.mark.slow
PROMPT = list(range(300, 360))


@pytest.fixture
def server(ray_session: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose environment asks for batch invariance, as the launcher's environment does in a run."""
    environment = {"env_vars": {BATCH_INVARIANT: "1"}}
    monkeypatch.setattr(TorchReplica, "runtime_env", lambda replica, settings: environment)
    started = Server("torch", tiny_model, ["actor_rollout_ref.rollout.dtype=float32"])
    yield started
    ray.kill(started.handle)


def test_a_request_has_the_same_log_probs_alone_and_in_a_crowd(server: Server, tiny_model: Path) -> None:
    state = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).state_dict()
    state.pop("lm_head.weight", None)  # tied
    generator = torch.Generator().manual_seed(0)
    # Large weights make rounding errors large.
    server.load(0, {name: w + 0.2 * torch.randn(w.shape, generator=generator) for name, w in state.items()})
    alone = server.generate(PROMPT, "alone", ignore_eos=True)
    crowd = [server.submit(PROMPT[: 50 - i], f"c{i}", ignore_eos=True) for i in range(13)]
    among = server.generate(PROMPT, "among", ignore_eos=True)
    ray.get(crowd, timeout=DEADLINE_S)
    assert len(alone.token_ids) == 24
    assert list(among.token_ids) == list(alone.token_ids)
    assert list(among.log_probs) == list(alone.log_probs)
