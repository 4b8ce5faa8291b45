"""Which positions of a response are actions: what the policy gradient of a stage is taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memgen.weaver.generated import NOT_ASKED, Generated

if TYPE_CHECKING:
    from memgen.weaver.stream import ReservedIds


def action_mask(stage: str, generated: Generated, reserved: ReservedIds) -> list[int]:
    """Returns 1 where a response id is an action of the stage's component, else 0.

    Args:
        stage: ``weaver``: text, which the latents before it made likely. ``trigger``: what was drawn where the trigger
            was asked, the first id of a block or the text that skipped it. ``both``: either.
        generated: the response and its decisions.
        reserved: the model's.

    Returns:
        A flag for each id of the response. The ids inside a block are forced, so they are never actions.
    """
    is_text = [token not in reserved.places for token in generated.response_ids]
    is_decision = [decision != NOT_ASKED for decision in generated.decisions]
    if stage == "weaver":
        return [int(text) for text in is_text]
    if stage == "trigger":
        return [int(decision) for decision in is_decision]
    return [int(text or decision) for text, decision in zip(is_text, is_decision, strict=True)]
