"""A stub of sgl_kernel without kernels. Every name can be imported; a call raises NotImplementedError."""

import functools
import sys

from _inert import SubmoduleFinder

__version__ = "0.0.0+cpu.stub"


def _attribute_of(module):
    def attribute(name):
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args, **kwargs):
            raise NotImplementedError(f"{module}.{name} has no CPU build")

        missing.__name__ = name
        return missing

    return attribute


__getattr__ = _attribute_of(__name__)
# sglang checks whether sgl_kernel.scalar_type exists, and it must not exist
sys.meta_path.append(SubmoduleFinder(__name__, _attribute_of, without=(__name__ + ".scalar_type",)))


def _ignore_pin_memory():
    """Makes torch ignore ``pin_memory=True``. SGLang hard-codes it, and torch refuses it without an accelerator."""
    import torch
    from torch.utils._device import _device_constructors

    if torch.cuda.is_available():
        return
    _device_constructors()  # `with torch.device(...)` finds the originals by identity, so cache them first

    def wrap(constructor):
        @functools.wraps(constructor)
        def unpinned(*args, **kwargs):
            kwargs.pop("pin_memory", None)
            return constructor(*args, **kwargs)

        return unpinned

    for name in (
        "arange",
        "empty",
        "empty_like",
        "empty_strided",
        "full",
        "ones",
        "rand",
        "randn",
        "tensor",
        "zeros",
        "zeros_like",
    ):
        setattr(torch, name, wrap(getattr(torch, name)))
    torch.Tensor.pin_memory = lambda self, *args, **kwargs: self


_ignore_pin_memory()
