"""A CPU platform for verl 0.9.1, registered with verl's ``PlatformRegistry``.

verl imports this module at the end of ``import verl`` in every process (entry-point group ``verl.plugins``). It must
be cheap to import, so it imports nothing from ``verl.workers``. verl logs an import error of a plug-in only at level
DEBUG. So the launcher and the doctor check which platform verl found (:func:`assert_platform`). This platform is not
used if CUDA is available or ``VERL_PLATFORM`` names another platform.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

from memupdate.errors import FieldError


def _zero(*_: Any, **__: Any) -> int:
    return 0


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _device_module() -> types.ModuleType:
    """Returns a copy of ``torch.cpu`` with the missing functions that verl calls on every device."""
    module = types.ModuleType("memupdate.platform.cpu_device")
    module.__dict__.update({name: value for name, value in vars(torch.cpu).items() if not name.startswith("__")})
    for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved"):
        setattr(module, name, _zero)
    for name in ("empty_cache", "reset_peak_memory_stats", "reset_accumulated_memory_stats", "ipc_collect"):
        setattr(module, name, _nothing)
    module.__dict__.update(
        set_per_process_memory_fraction=_nothing,
        manual_seed=torch.manual_seed,
        manual_seed_all=torch.manual_seed,
        mem_get_info=lambda *_: (0, 0),
        get_rng_state=lambda *_: torch.get_rng_state(),
        set_rng_state=lambda state, *_: torch.set_rng_state(state),
        get_device_name=lambda *_: "CPU",
        is_available=lambda: True,
    )
    return module


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):
    """The CPU as verl's device. Collectives use gloo, and workers are placed by logical ``GPU`` resources."""

    device_name = "cpu"
    vendor_name = "generic"
    device_module = _device_module()

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return not torch.cuda.is_available()

    def current_device(self) -> str:  # type: ignore[override]
        return "cpu"  # verl passes this to tensor.to(); an index would mean cuda:<index>

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        return "GPU"  # verl's resource pools count GPU and NPU only; ray.init(num_gpus=N) makes N logical ones

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None:
        return None


def assert_platform(device: str) -> None:
    """Checks that verl found the device in the config.

    Args:
        device: the config's ``trainer.device``.

    Raises:
        FieldError: verl found another device.
    """
    from verl.utils.device import get_device_name

    found = get_device_name()
    if found != device:
        raise FieldError(
            "trainer.device", device, f"{found!r}, the device that verl found here (see `memupdate doctor`)"
        )
