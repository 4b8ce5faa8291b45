"""Opens a MemGen checkpoint with the installed package. Its checkpoints carry a copy, as ``modeling_memgen.py``.

``AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)`` imports that copy. It holds no code of the
model. So a checkpoint runs the code that its user installed.
"""

try:
    from memgen.weaver.config import MemGenConfig
    from memgen.weaver.modeling import MemGenForCausalLM
except ImportError as error:
    raise ImportError(
        f"this model needs the package memgen, which the distribution memupdate contains ({error}); "
        "install it with: pip install 'memupdate[train]'"
    ) from error

__all__ = ["MemGenConfig", "MemGenForCausalLM"]
