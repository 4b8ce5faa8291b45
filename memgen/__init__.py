"""MemGen: latent memory for a frozen language model.

A weaver writes latents into the model's stream of ids. A trigger decides when.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from memupdate import __version__ as __version__
from memupdate.extras import missing_extras_named

if TYPE_CHECKING:
    from memgen.runner import MemGenRunner
    from memgen.weaver import MemGenConfig, MemGenModel, MemGenTrigger, MemGenWeaver

__all__ = ["MemGenConfig", "MemGenModel", "MemGenRunner", "MemGenTrigger", "MemGenWeaver"]


def __getattr__(name: str) -> object:
    # Names are imported on first use: torch takes seconds to load, and wrong settings are reported without it.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with missing_extras_named():
        return getattr(import_module("memgen.runner" if name == "MemGenRunner" else "memgen.weaver"), name)
