"""LoRA adapters in a base model that can be applied to single tokens. The base model's parameter names do not change.

PEFT applies an adapter to all tokens of a batch. MemGen needs LoRA only on the positions of the weaver's queries, and
one packed pass computes positions of the reasoner, the weaver and the trigger together. The files have PEFT's format,
see :mod:`memgen.base.adapter_files`.
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
    """The shape of a LoRA adapter.

    Attributes:
        rank: rank of the update, at least 1.
        alpha: the update is scaled by alpha / rank.
        dropout: dropout probability on the adapter's input, in [0, 1).
        target_modules: names of the linear layers that get the adapter.
    """

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
    """An adapter that is applied to some tokens.

    Attributes:
        name: name of the adapter.
        tokens: indices of the tokens, into the flattened leading dimensions of a layer's input. None means all tokens.
    """

    name: str
    tokens: torch.Tensor | None = None


class ActiveAdapters:
    """The adapters that the layers of one base model currently apply.

    With gradient checkpointing, call :meth:`use` inside the checkpointed function. Then the recompute applies the same
    adapters.
    """

    def __init__(self) -> None:
        self.uses: tuple[AdapterUse, ...] = ()

    @contextmanager
    def use(self, uses: Sequence[AdapterUse]) -> Iterator[None]:
        """Applies exactly ``uses`` inside the ``with`` block."""
        before, self.uses = self.uses, tuple(uses)
        try:
            yield
        finally:
            self.uses = before


class LoraLinear(nn.Linear):
    """A linear layer with named LoRA adapters in addition to its ``weight`` and ``bias``."""

    active: ActiveAdapters
    settings: dict[str, LoraSettings]

    @classmethod
    def wrap(cls, linear: nn.Linear, active: ActiveAdapters) -> LoraLinear:
        """Turns ``linear`` into a :class:`LoraLinear` in place. Its parameters keep their names and values."""
        linear.__class__ = cls
        assert isinstance(linear, cls)
        linear.active, linear.settings = active, {}
        return linear

    def add(self, name: str, settings: LoraSettings) -> None:
        """Adds an adapter. It has no effect yet, because its matrix B is zero."""
        self.settings[name] = settings
        down = torch.empty(settings.rank, self.in_features, dtype=self.weight.dtype, device=self.weight.device)
        up = torch.empty(self.out_features, settings.rank, dtype=self.weight.dtype, device=self.weight.device)
        self.register_parameter(f"lora_A_{name}", nn.Parameter(down))
        self.register_parameter(f"lora_B_{name}", nn.Parameter(up))
        self.reset(name)

    def reset(self, name: str) -> None:
        """Initialises an adapter as PEFT does: A uniformly like the weight of a linear layer, B with zeros."""
        down, up = self.matrices(name)
        nn.init.kaiming_uniform_(down, a=5**0.5)
        nn.init.zeros_(up)

    def matrices(self, name: str) -> tuple[nn.Parameter, nn.Parameter]:
        """Returns the matrices A (rank, in) and B (out, rank) of an adapter."""
        return getattr(self, f"lora_A_{name}"), getattr(self, f"lora_B_{name}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps ``x`` (..., in) to (..., out) and applies each active adapter to its tokens."""
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
    """Returns the :class:`ActiveAdapters` of a decoder. The first call creates it."""
    if not hasattr(decoder, "active_adapters_of_memgen"):
        decoder.active_adapters_of_memgen = ActiveAdapters()  # type: ignore[assignment]  # not a module
    active = decoder.active_adapters_of_memgen
    assert isinstance(active, ActiveAdapters)
    return active


def add_adapter(decoder: nn.Module, name: str, settings: LoraSettings) -> None:
    """Adds an adapter to every linear layer of ``decoder`` whose name is in ``settings.target_modules``.

    Raises:
        FieldError: no linear layer of the decoder has the name of a target, or there are no targets.
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
    """Returns the layers that have the adapter ``name``, by their module path."""
    return {
        path: module
        for path, module in decoder.named_modules()
        if isinstance(module, LoraLinear) and name in module.settings
    }


def is_adapter_key(key: str) -> bool:
    """Returns whether a key of a state dict belongs to an adapter."""
    return ".lora_A_" in key or ".lora_B_" in key
