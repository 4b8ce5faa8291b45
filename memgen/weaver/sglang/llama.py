"""Llama with latent memory."""

from sglang.srt.models.llama import LlamaForCausalLM

from memgen.weaver.sglang.latent import LatentMemory


class MemGenLlamaForCausalLM(LatentMemory, LlamaForCausalLM):  # type: ignore[misc]  # SGLang has no types
    """SGLang's Llama with the shared weaver and the trigger's gate."""


EntryClass = MemGenLlamaForCausalLM
