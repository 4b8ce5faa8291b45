"""The method MemGen: a weaver writes latents into a frozen reasoner's stream of ids, and a trigger decides when.

The model needs torch, transformers and peft, but not Ray, verl or SGLang. The names below are imported on first use.
Importing the model registers ``memgen`` with Hugging Face's Auto classes.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memgen.base.adapters import LoraSettings
    from memgen.base.sampling import SamplingSettings
    from memgen.weaver.build import build_memgen
    from memgen.weaver.client import LatentClient
    from memgen.weaver.config import MemGenConfig
    from memgen.weaver.export import export_for_sglang
    from memgen.weaver.generated import Generated, GeneratedBatch
    from memgen.weaver.modeling import MemGenModel
    from memgen.weaver.served import LatentServedModel
    from memgen.weaver.triggers import MemGenTrigger
    from memgen.weaver.weavers import MemGenWeaver

_PLACES = {
    "Generated": "memgen.weaver.generated",
    "GeneratedBatch": "memgen.weaver.generated",
    "LatentClient": "memgen.weaver.client",
    "LatentServedModel": "memgen.weaver.served",
    "LoraSettings": "memgen.base.adapters",
    "MemGenConfig": "memgen.weaver.config",
    "MemGenModel": "memgen.weaver.modeling",
    "MemGenTrigger": "memgen.weaver.triggers",
    "MemGenWeaver": "memgen.weaver.weavers",
    "SamplingSettings": "memgen.base.sampling",
    "build_memgen": "memgen.weaver.build",
    "export_for_sglang": "memgen.weaver.export",
}

__all__ = [
    "Generated",
    "GeneratedBatch",
    "LatentClient",
    "LatentServedModel",
    "LoraSettings",
    "MemGenConfig",
    "MemGenModel",
    "MemGenTrigger",
    "MemGenWeaver",
    "SamplingSettings",
    "build_memgen",
    "export_for_sglang",
]


def __getattr__(name: str) -> object:
    # Imported on first use: the settings need no torch, and the SGLang server must not register the Hugging Face model.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
