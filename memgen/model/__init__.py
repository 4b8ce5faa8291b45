"""The latent-memory model: torch, transformers and peft, and nothing of Ray, verl or SGLang.

Importing this registers ``memgen`` with Hugging Face's Auto classes.
"""

from memgen.model.adapters import LoraSettings
from memgen.model.build import build_memgen
from memgen.model.config import MemGenConfig
from memgen.model.generated import Generated, GeneratedBatch
from memgen.model.modeling import MemGenModel
from memgen.model.sampling import SamplingSettings
from memgen.model.trigger import MemGenTrigger
from memgen.model.weaver import MemGenWeaver

__all__ = [
    "Generated",
    "GeneratedBatch",
    "LoraSettings",
    "MemGenConfig",
    "MemGenModel",
    "MemGenTrigger",
    "MemGenWeaver",
    "SamplingSettings",
    "build_memgen",
]
