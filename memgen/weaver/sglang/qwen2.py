"""Qwen2 with latent memory."""

from sglang.srt.models.qwen2 import Qwen2ForCausalLM

from memgen.weaver.sglang.latent import LatentMemory


class MemGenQwen2ForCausalLM(LatentMemory, Qwen2ForCausalLM):  # type: ignore[misc]  # SGLang has no types
    """SGLang's Qwen2 with the shared weaver and the trigger's gate."""


EntryClass = MemGenQwen2ForCausalLM
