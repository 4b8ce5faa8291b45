"""Splits a stream into runs of text and blocks. A block must be woven before the next text can be read."""

from __future__ import annotations

from collections.abc import Sequence

from memgen.weaver.stream.rules import StreamRules
from memgen.weaver.stream.vocabulary import PROMPT
from memgen.weaver.stream.weave import check_stream
from memupdate.errors import FieldError

# The ids of a run of text, or the kind of a block.
Part = list[int] | int


def split_blocks(rules: StreamRules, stream: Sequence[int]) -> list[Part]:
    """Splits a stream into its runs of text and its blocks, in order. The length of the prompt may be unknown.

    A block of kind ``PROMPT`` marks the end of the prompt. If there is none, the response starts before the first
    block, and its exact start does not matter.

    Returns:
        For each run of text its ids, and for each block its kind.

    Raises:
        FieldError: the stream does not start with text, or it is malformed, see
            :func:`memgen.weaver.stream.check_stream`.
    """
    places = rules.reserved.places
    first = next((column for column, token in enumerate(stream) if token in places), None)
    if not stream or first == 0:
        raise FieldError("stream", list(stream[:3]), "text ids before the first block")
    if first is None:
        return [list(stream)]
    check_stream(rules, stream, first if places[stream[first]][0] == PROMPT else first - 1)
    parts: list[Part] = []
    text: list[int] = []
    for token in stream:
        kind, offset = places.get(token, (None, 0))
        if kind is None:
            text.append(token)
        elif offset == 0:
            parts += [text, kind]
            text = []
    return [*parts, text] if text else parts
