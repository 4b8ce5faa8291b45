"""Makes products of fp32 tensors on a CPU independent of the batch in which they are computed.

A BLAS library sums in a different order for each shape. So the last digits of a token's logits differ between a
decoding step of three rows and a training batch of thirty. Large attention scores and sharp distributions amplify this
to 1e-5 and more in a log-prob. This module sums products in float64 and rounds once. The fp32 result is then the same
for every order, unless a sum lies within 1e-16 of a rounding boundary. SGLang's deterministic mode achieves the same
on a GPU by other means.

Only the forward pass is changed. Gradients need no such agreement, and they cost twice as much as the forward pass.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch

# Environment variable. "1" enables batch invariance in the processes of the engine and of the trainer.
BATCH_INVARIANT = "MEMUPDATE_BATCH_INVARIANT"

_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product_flash_attention_for_cpu")
# A long matrix is multiplied in chunks of this many rows. The float64 copies of a chunk stay in the processor's cache,
# which makes the product of a training batch with an output head of 2,000 ids 1.7 times as fast.
_ROWS = 256
_library: torch.library.Library | None = None


def enable_if_asked() -> None:
    """Enables batch invariance in this process if the environment variable is set."""
    if os.environ.get(BATCH_INVARIANT) == "1":
        enable()


def enable() -> None:
    """Enables batch invariance in this process until it ends. A second call does nothing."""
    global _library
    if _library is not None:
        return
    _library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")  # the override is intended
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
