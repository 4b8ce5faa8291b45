"""Selects the actions of a response: the ids over which the policy gradient of a stage is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memgen.weaver.generated import NOT_ASKED, Generated

if TYPE_CHECKING:
    from memgen.weaver.stream import ReservedIds


def action_mask(stage: str, generated: Generated, reserved: ReservedIds) -> list[int]:
    """Returns 1 for each response id that is an action of the stage, else 0.

    Args:
        stage: the training stage. For ``weaver`` the actions are the text ids, whose probability depends on the latents
            before them. For ``trigger`` they are the ids at which the trigger was asked: the first id of a block, or
            the text id that skipped the block. For ``both`` they are all of these.
        generated: the response and its decisions.
        reserved: the reserved ids of the model.

    Returns:
        One flag per response id. The ids of a block after its first are forced, so they are never actions.
    """
    is_text = [token not in reserved.places for token in generated.response_ids]
    is_decision = [decision != NOT_ASKED for decision in generated.decisions]
    if stage == "weaver":
        return [int(text) for text in is_text]
    if stage == "trigger":
        return [int(decision) for decision in is_decision]
    return [int(text or decision) for text, decision in zip(is_text, is_decision, strict=True)]
