"""Conversations as segments: every turn is a stream of its own, whose prompt is the clean text before it.

So the latents of earlier turns are invisible by construction, and a turn is trained and generated alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memgen.weaver.stream.rules import StreamRules
from memgen.weaver.stream.weave import weave_text
from memupdate.errors import FieldError


@dataclass(frozen=True)
class Segment:
    """One turn.

    Attributes:
        prompt: text ids of everything before the turn's response.
        response: text ids that the model wrote (or should write) in the turn.
        turn: its index, 0-based.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    turn: int

    def stream(self, rules: StreamRules) -> list[int]:
        """Returns the segment with latents on the published schedule of supervised data."""
        return weave_text(rules, self.prompt, self.response, self.turn)


def split_turns(ids: Sequence[int], supervised: Sequence[int]) -> list[Segment]:
    """Splits a conversation into its turns.

    Args:
        ids: text ids of the whole conversation.
        supervised: 1 for each token that the assistant wrote, else 0; each run of ones is a turn.

    Returns:
        The turns in order; what follows the last one is left out.

    Raises:
        FieldError: the two differ in length, or nothing is supervised.
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
