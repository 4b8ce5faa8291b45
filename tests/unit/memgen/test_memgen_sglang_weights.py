"""The latent tensors that the SGLang model class takes, on a causal LM without SGLang."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pytest
import torch

from memgen.weaver.sglang.latent import LatentMemory
from memupdate.errors import FieldError


class _Loaded:
    """The part of SGLang's causal LM that loads weights."""

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        self.base = dict(weights)


class Model(LatentMemory, _Loaded):
    def __init__(self) -> None:
        self.model = SimpleNamespace(layers=[], parameters=lambda: iter([torch.zeros(1)]))
        self.query_V = torch.zeros(1)


NAMES = ("queries", "projection.weight", "projection.bias", "trigger.weight", "trigger.bias")


def tensors(*names: str) -> list[tuple[str, torch.Tensor]]:
    return [("embed", torch.ones(2)), *((f"memgen.{name}", torch.ones(1)) for name in names)]


def test_the_latent_tensors_are_taken_and_the_others_are_handed_on() -> None:
    model = Model()
    model.load_weights(tensors(*NAMES))
    assert sorted(model.latent) == sorted(NAMES)
    assert list(model.base) == ["embed"]


@pytest.mark.parametrize(("names", "message"), [(NAMES[1:], "missing queries"), ((*NAMES, "gate"), "extra gate")])
def test_a_tensor_too_few_or_too_many_is_named(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(FieldError, match=rf"^model\.safetensors: got '{message}'; allowed: the 5 tensors of MemGen"):
        Model().load_weights(tensors(*names))
