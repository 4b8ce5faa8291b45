"""A stub of triton without a compiler. Decorators return the function unchanged; launching a kernel fails."""

import sys
import types

from _inert import Inert, SubmoduleFinder, inert_attribute

__version__ = "3.9.0"
__getattr__ = inert_attribute


def jit(fn=None, **options):
    return fn if fn is not None else (lambda function: function)


def autotune(*args, **options):
    return lambda function: function


heuristics = autotune


class Config(Inert):
    """Accepts any tuning configuration."""


def cdiv(a, b):
    return -(-a // b)


def next_power_of_2(n):
    return 1 << (int(n) - 1).bit_length()


class _Target:
    backend = "cpu"
    arch = "cpu"
    warp_size = 1


class _Driver:
    def get_current_target(self):
        return _Target()

    def get_active_torch_device(self):
        import torch

        return torch.device("cpu")


sys.meta_path.append(SubmoduleFinder(__name__, lambda module: inert_attribute))
runtime = types.ModuleType("triton.runtime")
runtime.__path__ = []
runtime.__getattr__ = inert_attribute
runtime.driver = types.ModuleType("triton.runtime.driver")
runtime.driver.active = _Driver()
runtime.driver.__getattr__ = inert_attribute
sys.modules["triton.runtime"] = runtime
sys.modules["triton.runtime.driver"] = runtime.driver
