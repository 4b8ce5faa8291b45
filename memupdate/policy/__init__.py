"""The tiny policy: a small Qwen3 with its own tokenizer. The whole training loop learns with it in minutes on a CPU."""

from memupdate.policy.demonstrations import write_demonstrations
from memupdate.policy.make import make_policy
from memupdate.policy.settings import PolicySettings

__all__ = ["PolicySettings", "make_policy", "write_demonstrations"]
