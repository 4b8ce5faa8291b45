"""The default ``generate`` of a latent method: the model is used as a plain causal LM."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_base
from transformers import PreTrainedModel

from memgen.base.sampling import SamplingSettings
from memgen.methods import Answer, LatentMethod, method_of
from memgen.weaver.method import MemGenMethod
from memupdate.errors import FieldError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "extending"))
from installed_method import install

PROMPTS = [[5, 6, 7], [9, 8], [20, 21, 22, 23, 24]]
SEEDS = [1, 2, 3]
GREEDY = SamplingSettings(temperature=0)
WARM = SamplingSettings(temperature=0.7)


class WithoutCache(torch.nn.Module):
    """A model that reads everything again, as one without a cache does."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model, self.config, self.device = model, model.config, model.device

    def forward(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        return self.model(input_ids=input_ids, use_cache=False)


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LatentMethod[Any, Any, Any]]:
    """A method that says nothing of generation."""
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))
    found = method_of("soft_prompt")
    assert "generate" not in vars(type(found)) and "generate" in vars(MemGenMethod)
    yield found
    sys.modules.pop("soft_prompt", None)


def generate(method: LatentMethod[Any, Any, Any], model: Any, **changes: Any) -> list[Answer]:
    options: dict[str, Any] = {"max_new_tokens": 12, "sampling": WARM, "stop_ids": [], "seeds": SEEDS}
    return method.generate(model, **{"prompts": PROMPTS, **options, **changes})


def policy_log_probs(model: PreTrainedModel, prompt: Sequence[int], ids: Sequence[int], temperature: float) -> Any:
    """The log-prob of each id, from one forward pass over everything."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0].tolist()


def test_greedy_ids_are_those_of_hugging_face(method: LatentMethod[Any, Any, Any]) -> None:
    model = tiny_base()
    for prompt, answer in zip(PROMPTS, generate(method, model, sampling=GREEDY), strict=True):
        expected = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=None)
        assert answer.response_ids == answer.text_ids == expected[0, len(prompt) :].tolist()
        assert answer.log_probs == pytest.approx(policy_log_probs(model, prompt, answer.text_ids, 1.0), abs=1e-4)
        assert (answer.finish_reason, answer.counts) == ("length", {"tokens": 12, "latents": 0})


@pytest.mark.parametrize("sampling", [WARM, SamplingSettings(temperature=0.7, top_k=3)])
def test_log_probs_are_those_of_the_policy_without_filters(
    method: LatentMethod[Any, Any, Any], sampling: SamplingSettings
) -> None:
    model = tiny_base()
    answers = generate(method, model, sampling=sampling)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        assert answer.log_probs == pytest.approx(policy_log_probs(model, prompt, answer.text_ids, 0.7), abs=1e-4)
    assert [one.text_ids for one in answers] != [one.text_ids for one in generate(method, model, sampling=GREEDY)]


def test_the_filter_removes_ids(method: LatentMethod[Any, Any, Any]) -> None:
    model = tiny_base()
    only_best = generate(method, model, sampling=SamplingSettings(temperature=1.0, top_k=1))
    assert [one.text_ids for one in only_best] == [one.text_ids for one in generate(method, model, sampling=GREEDY)]


def test_a_model_without_a_cache_gives_the_same(method: LatentMethod[Any, Any, Any]) -> None:
    model = tiny_base().double()
    cached, read_again = (generate(method, one) for one in (model, WithoutCache(model)))
    assert [one.text_ids for one in cached] == [one.text_ids for one in read_again]


def test_a_row_depends_on_its_own_prompt_and_seed(method: LatentMethod[Any, Any, Any]) -> None:
    model = tiny_base()
    together = generate(method, model)
    assert generate(method, model, prompts=PROMPTS[1:2], seeds=SEEDS[1:2]) == together[1:2]
    assert generate(method, model, seeds=[4, 5, 6]) != together


def test_a_stop_id_ends_the_response_and_every_id_is_reported(method: LatentMethod[Any, Any, Any]) -> None:
    model, seen = tiny_base(), [list[int]() for _ in PROMPTS]
    whole = [one.text_ids for one in generate(method, model)]
    stop = whole[0][4]
    answers = generate(method, model, stop_ids={stop}, on_ids=lambda row, ids: seen[row].extend(ids))
    assert seen == [one.response_ids for one in answers]
    for ids, answer in zip(whole, answers, strict=True):
        cut = ids[: ids.index(stop) + 1] if stop in ids else ids
        assert (answer.text_ids, answer.finish_reason) == (cut, "stop" if stop in ids else "length")
    assert answers[0].finish_reason == "stop"


def test_a_prompt_that_does_not_fit_is_refused(method: LatentMethod[Any, Any, Any]) -> None:
    with pytest.raises(FieldError, match="max_new_tokens"):
        generate(method, tiny_base(), max_new_tokens=1024)
    with pytest.raises(FieldError, match=r"prompts\[0\]"):
        generate(method, tiny_base(), prompts=[[]], seeds=[1])
