"""Low-rank adapters inside a base model that keeps its parameter names, chosen per token.

PEFT switches adapters per module and knows no tokens; a weave needs LoRA on the latents' rows only, and one packed pass
serves the reasoner, the weaver and the trigger together. The files are PEFT's: see :mod:`memgen.base.adapter_files`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from memupdate.errors import FieldError


@dataclass(frozen=True)
class LoraSettings:
    """Shape of an adapter: rank, alpha (the update is scaled by alpha / rank), dropout, and the layers it sits in."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.1
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise FieldError("rank", self.rank, "an integer of at least 1")
        if not 0 <= self.dropout < 1:
            raise FieldError("dropout", self.dropout, "a number in [0, 1)")
        object.__setattr__(self, "target_modules", tuple(self.target_modules))


class AdapterUse(NamedTuple):
    """An adapter in use, on some tokens: indices into the flattened leading dimensions of a layer's input, or all."""

    name: str
    tokens: torch.Tensor | None = None


class ActiveAdapters:
    """Which adapters the layers of one base model apply. Set it inside a checkpointed function, so that the recompute
    sees the same."""

    def __init__(self) -> None:
        self.uses: tuple[AdapterUse, ...] = ()

    @contextmanager
    def use(self, uses: Sequence[AdapterUse]) -> Iterator[None]:
        """Applies ``uses`` inside the ``with`` block, and nothing else."""
        before, self.uses = self.uses, tuple(uses)
        try:
            yield
        finally:
            self.uses = before


class LoraLinear(nn.Linear):
    """A linear layer with named low-rank adapters beside its own ``weight`` and ``bias``."""

    active: ActiveAdapters
    settings: dict[str, LoraSettings]

    @classmethod
    def wrap(cls, linear: nn.Linear, active: ActiveAdapters) -> LoraLinear:
        """Makes ``linear`` one of these in place; its parameters keep their names and values."""
        linear.__class__ = cls
        assert isinstance(linear, cls)
        linear.active, linear.settings = active, {}
        return linear

    def add(self, name: str, settings: LoraSettings) -> None:
        """Adds an adapter that changes nothing yet (B is 0)."""
        self.settings[name] = settings
        down = torch.empty(settings.rank, self.in_features, dtype=self.weight.dtype, device=self.weight.device)
        up = torch.empty(self.out_features, settings.rank, dtype=self.weight.dtype, device=self.weight.device)
        self.register_parameter(f"lora_A_{name}", nn.Parameter(down))
        self.register_parameter(f"lora_B_{name}", nn.Parameter(up))
        self.reset(name)

    def reset(self, name: str) -> None:
        """Starts an adapter anew, as PEFT does: A uniform as a linear layer's weight, B zero."""
        down, up = self.matrices(name)
        nn.init.kaiming_uniform_(down, a=5**0.5)
        nn.init.zeros_(up)

    def matrices(self, name: str) -> tuple[nn.Parameter, nn.Parameter]:
        """Returns A (rank, in) and B (out, rank) of an adapter."""
        return getattr(self, f"lora_A_{name}"), getattr(self, f"lora_B_{name}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps ``x`` (..., in) to (..., out), with the adapters in use on their tokens."""
        y = F.linear(x, self.weight, self.bias)
        for name, tokens in self.active.uses:
            if name not in self.settings:
                continue
            if tokens is None:
                y = y + self._update(name, x)
            else:
                update = self._update(name, x.reshape(-1, self.in_features)[tokens])
                flat = y.reshape(-1, self.out_features).index_add(0, tokens, update.to(y.dtype))
                y = flat.view(y.shape)
        return y

    def _update(self, name: str, x: torch.Tensor) -> torch.Tensor:
        settings = self.settings[name]
        down, up = self.matrices(name)
        x = F.dropout(x, settings.dropout, self.training)
        return F.linear(F.linear(x, down), up) * (settings.alpha / settings.rank)


def active_adapters(decoder: nn.Module) -> ActiveAdapters:
    """Returns the decoder's switch, which is made the first time."""
    if not hasattr(decoder, "active_adapters_of_memgen"):
        decoder.active_adapters_of_memgen = ActiveAdapters()  # type: ignore[assignment]  # not a module
    active = decoder.active_adapters_of_memgen
    assert isinstance(active, ActiveAdapters)
    return active


def add_adapter(decoder: nn.Module, name: str, settings: LoraSettings) -> None:
    """Adds adapter ``name`` to every linear layer of ``decoder`` that ``settings.target_modules`` names.

    Raises:
        FieldError: a target that is no linear layer of the decoder.
    """
    active = active_adapters(decoder)
    found: set[str] = set()
    for path, module in list(decoder.named_modules()):
        last = path.rsplit(".", 1)[-1]
        if last in settings.target_modules and isinstance(module, nn.Linear):
            layer = module if isinstance(module, LoraLinear) else LoraLinear.wrap(module, active)
            layer.add(name, settings)
            found.add(last)
    missing = set(settings.target_modules) - found
    if missing or not found:
        linear = {path.rsplit(".", 1)[-1] for path, m in decoder.named_modules() if isinstance(m, nn.Linear)}
        raise FieldError("target_modules", sorted(missing), f"names of linear layers: {sorted(linear)}")


def adapted_layers(decoder: nn.Module, name: str) -> dict[str, LoraLinear]:
    """Returns path → layer, for every layer that holds adapter ``name``."""
    return {
        path: module
        for path, module in decoder.named_modules()
        if isinstance(module, LoraLinear) and name in module.settings
    }


def is_adapter_key(key: str) -> bool:
    """Returns whether a state dict's key is an adapter's."""
    return ".lora_A_" in key or ".lora_B_" in key
