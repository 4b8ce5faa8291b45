"""Makes products of fp32 tensors on a CPU independent of the batch in which they are computed.

A BLAS library sums in another order for every shape. A token's logits therefore differ in their last digits between a
decoding step of three rows and a training batch of thirty. Large attention scores and sharp distributions turn that
into 1e-5 and more in a log-prob. Here products are summed in float64 and rounded once, so the fp32 result is the same
in every order, unless a sum lies within 1e-16 of a rounding boundary. SGLang's deterministic mode reaches the same on
a GPU by other means.

Only the forward pass is changed: gradients need no such agreement, and cost twice as much as the forward pass.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch

# Environment variable: "1" switches the engine's and the trainer's processes over.
BATCH_INVARIANT = "MEMUPDATE_BATCH_INVARIANT"

_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product_flash_attention_for_cpu")
# A long matrix is multiplied this many rows at a time. The float64 copies of so few rows stay in the processor's cache,
# which makes the product of a training batch with a head of 2,000 ids 1.7 times as fast.
_ROWS = 256
_library: torch.library.Library | None = None


def enable_if_asked() -> None:
    """Switches this process over if the run's environment asks for it."""
    if os.environ.get(BATCH_INVARIANT) == "1":
        enable()


def enable() -> None:
    """Switches this process over for as long as it runs. A second call does nothing."""
    global _library
    if _library is not None:
        return
    _library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")  # overriding is the point
        for name in _PRODUCTS:
            _library.impl(name, _in_float64(name), "CPU", with_keyset=True)


def _in_float64(name: str) -> Any:
    kernel = torch.library.get_kernel(f"aten::{name}", "CPU")
    wide = _long_matrix(kernel) if name == "mm" else _whole(kernel)

    def product(keys: torch.DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        backward = torch._C._current_graph_task_id() != -1
        if backward or args[0].dtype != torch.float32:
            return kernel.call_boxed(keys, *args, **kwargs)
        return wide(keys, *args, **kwargs)

    return product


def _whole(kernel: Any) -> Any:
    def wide(keys: torch.DispatchKeySet, *args: Any, **kwargs: Any) -> Any:
        result = kernel.call_boxed(keys, *map(_wide, args), **{key: _wide(value) for key, value in kwargs.items()})
        return tuple(map(_narrow, result)) if isinstance(result, tuple) else _narrow(result)

    return wide


def _long_matrix(kernel: Any) -> Any:
    def wide(keys: torch.DispatchKeySet, left_ML: torch.Tensor, right_LN: torch.Tensor) -> torch.Tensor:
        right_LN = right_LN.double()
        result_MN = left_ML.new_empty(left_ML.shape[0], right_LN.shape[1])
        for part_RN, left_RL in zip(result_MN.split(_ROWS), left_ML.split(_ROWS), strict=True):
            part_RN.copy_(kernel.call_boxed(keys, left_RL.double(), right_LN))
        return result_MN

    return wide


def _wide(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value


def _narrow(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype == torch.float64 else value
