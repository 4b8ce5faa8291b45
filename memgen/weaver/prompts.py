"""Checks prompts for MemGen."""

from __future__ import annotations

from collections.abc import Sequence

from memgen.base.prompts import check_prompts
from memgen.weaver.config import MemGenConfig


def check_stream_prompts(prompts: Sequence[Sequence[int]], max_new_tokens: int, config: MemGenConfig) -> None:
    """Checks that a response to every prompt can be generated.

    Raises:
        FieldError: a prompt holds a reserved id. See also :func:`memgen.base.prompts.check_prompts`.
    """
    rules = config.rules()
    for index, prompt in enumerate(prompts):
        rules.reserved.reject_in(prompt, f"prompts[{index}]")
    check_prompts(prompts, max_new_tokens, config, 0 if config.mode == "never" else rules.most_latents())
