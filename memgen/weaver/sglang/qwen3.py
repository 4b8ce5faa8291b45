"""Qwen3 with latent memory."""

from sglang.srt.models.qwen3 import Qwen3ForCausalLM

from memgen.weaver.sglang.latent import LatentMemory


class MemGenQwen3ForCausalLM(LatentMemory, Qwen3ForCausalLM):  # type: ignore[misc]  # SGLang has no types
    """SGLang's Qwen3 with the shared weaver and the trigger's gate."""


EntryClass = MemGenQwen3ForCausalLM
