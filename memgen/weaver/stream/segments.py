"""Splits conversations into segments: every turn is a separate stream whose prompt is the text before it.

So a turn never sees the latents of earlier turns, in training as in generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memgen.weaver.stream.rules import StreamRules
from memgen.weaver.stream.weave import weave_text
from memupdate.errors import FieldError


@dataclass(frozen=True)
class Segment:
    """One assistant turn.

    Attributes:
        prompt: text ids of everything before the response.
        response: text ids of the response.
        turn: 0-based index of the turn.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    turn: int

    def stream(self, rules: StreamRules) -> list[int]:
        """Returns the segment with latents on the published schedule of supervised data."""
        return weave_text(rules, self.prompt, self.response, self.turn)


def split_turns(ids: Sequence[int], supervised: Sequence[int]) -> list[Segment]:
    """Splits a conversation into its assistant turns.

    Args:
        ids: text ids of the whole conversation.
        supervised: 1 for each id that the assistant wrote, else 0. Each run of ones is a turn.

    Returns:
        The turns in order. The ids after the last turn are left out.

    Raises:
        FieldError: ``ids`` and ``supervised`` differ in length, or ``supervised`` has no 1.
    """
    if len(ids) != len(supervised):
        raise FieldError("supervised", len(supervised), f"one flag for each of the {len(ids)} ids")
    if not any(supervised):
        raise FieldError("supervised", list(supervised[:10]), "at least one token of the assistant")
    turns: list[Segment] = []
    start: int | None = None
    for index, flag in enumerate([*supervised, 0]):
        if flag and start is None:
            start = index
        elif not flag and start is not None:
            turns.append(Segment(tuple(ids[:start]), tuple(ids[start:index]), len(turns)))
            start = None
    return turns
