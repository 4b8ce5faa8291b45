"""Converts text to a stream and back, with given insertion points or with the published schedule of SFT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memgen.weaver.stream.rules import StreamRules
from memgen.weaver.stream.vocabulary import PROMPT
from memupdate.errors import FieldError


@dataclass(frozen=True)
class WovenText:
    """A prompt and a response without latents, and the places of the blocks.

    Attributes:
        prompt: text ids of the prompt.
        response: text ids of the response.
        at_prompt_end: whether a block follows the prompt.
        after: ascending indices into ``response``. A block follows each of these tokens.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    at_prompt_end: bool
    after: tuple[int, ...]


def weave(rules: StreamRules, text: WovenText, turn: int = 0) -> list[int]:
    """Inserts the blocks into the text. It is the inverse of :func:`unweave`.

    Returns:
        The stream of prompt and response.

    Raises:
        FieldError: the text holds a reserved id, or a block stands where none is allowed.
    """
    rules.reserved.reject_in(text.prompt, "prompt")
    rules.reserved.reject_in(text.response, "response")
    stream = list(text.prompt)
    if text.at_prompt_end:
        stream += rules.reserved.prompt
    after = set(text.after)
    for index, token in enumerate(text.response):
        stream.append(token)
        if index in after:
            stream += rules.reserved.inference
    if after - set(range(len(text.response))):
        raise FieldError("after", sorted(after), f"indices below {len(text.response)}, the response's length")
    check_stream(rules, stream, len(text.prompt), turn)
    return stream


def weave_text(rules: StreamRules, prompt: Sequence[int], response: Sequence[int], turn: int = 0) -> list[int]:
    """Inserts blocks on the published schedule of supervised data: after the prompt and after the first delimiters.

    The last id of the response gets no block, because no id would be predicted from it.

    Returns:
        The stream of prompt and response.

    Raises:
        FieldError: the text holds a reserved id.
    """
    at_prompt_end = rules.asked_at_prompt_end(turn) is not None
    after: list[int] = []
    # The item before the first response token is the last id of the prompt or of the block, which is not a digit.
    previous = rules.reserved.prompt[-1] if at_prompt_end else (prompt[-1] if prompt else None)
    for index, token in enumerate(response[:-1]):
        if rules.asked_after(previous, token, len(after)) is not None:
            after.append(index)
            previous = rules.reserved.inference[-1]
        else:
            previous = token
    return weave(rules, WovenText(tuple(prompt), tuple(response), at_prompt_end, tuple(after)), turn)


def unweave(rules: StreamRules, stream: Sequence[int], prompt_length: int, turn: int = 0) -> WovenText:
    """Removes the blocks from a stream and returns the text and the places of the blocks.

    Raises:
        FieldError: the stream is malformed.
    """
    check_stream(rules, stream, prompt_length, turn)
    places = rules.reserved.places
    response: list[int] = []
    after: list[int] = []
    at_prompt_end = False
    for token in stream[prompt_length:]:
        kind, offset = places.get(token, (None, 0))
        if kind is None:
            response.append(token)
        elif kind == PROMPT:
            at_prompt_end = True
        elif offset == 0:
            after.append(len(response) - 1)
    return WovenText(tuple(stream[:prompt_length]), tuple(response), at_prompt_end, tuple(after))


def check_stream(rules: StreamRules, stream: Sequence[int], prompt_length: int, turn: int = 0) -> None:
    """Checks one stream item by item.

    Raises:
        FieldError: the prompt holds a reserved id, a block stands where none is allowed, or a block is incomplete. The
            message names the column, except for a block that is cut off at the end.
    """
    places = rules.reserved.places
    rules.reserved.reject_in(stream[:prompt_length], "prompt")
    asked = rules.asked_at_prompt_end(turn) if prompt_length <= len(stream) else None
    inserted = 0
    waiting: list[int] = []
    for column in range(prompt_length, len(stream)):
        token = stream[column]
        if waiting:
            if token != waiting[0]:
                raise FieldError(f"stream[{column}]", token, f"{waiting[0]}, the next id of the block that began")
            waiting.pop(0)
            asked = None
        elif token in places:
            kind, _ = places[token]
            if token != asked:
                allowed = "a text id" if asked is None else f"a text id or {asked}"
                raise FieldError(f"stream[{column}]", token, f"{allowed}: no such block may stand here")
            waiting = list(rules.reserved.block(kind)[1:])
            inserted += kind != PROMPT
            asked = None
        else:
            previous = stream[column - 1] if column else None
            asked = rules.asked_after(previous, token, inserted)
    if waiting:
        raise FieldError("stream", list(stream[-3:]), f"a whole block: {waiting} is missing at the end")
