"""MemGen: latent memory for a frozen language model. A weaver writes latents into its stream, a trigger says when."""

from memgen.model import MemGenConfig, MemGenModel, MemGenTrigger, MemGenWeaver
from memgen.runner import MemGenRunner

__all__ = ["MemGenConfig", "MemGenModel", "MemGenRunner", "MemGenTrigger", "MemGenWeaver"]
