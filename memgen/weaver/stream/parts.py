"""A stream in parts: what is read at once, and what must be woven before the next can be."""

from __future__ import annotations

from collections.abc import Sequence

from memgen.weaver.stream.rules import StreamRules
from memgen.weaver.stream.vocabulary import PROMPT
from memgen.weaver.stream.weave import check_stream
from memupdate.errors import FieldError

# Ids of a run of text, or the kind of a block.
Part = list[int] | int


def split_blocks(rules: StreamRules, stream: Sequence[int]) -> list[Part]:
    """Runs of text and kinds of blocks, in turn, of a stream whose prompt is not told.

    A block of the prompt's kind ends the prompt. Without one, the response began before the first block at the latest,
    and where it began decides nothing more.

    Raises:
        FieldError: no text at the start, or a malformed stream: see :func:`memgen.weaver.stream.check_stream`.
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
