"""Reads the tool calls in a completion, and answers those that no tool can answer. Needs no verl.

Malformed calls are kept, so that they get an answer: a call that cannot be read becomes one with the reserved name
``MALFORMED_CALL`` and a description of the problem. Training (:mod:`memupdate.agents.loop`) and chained evaluation
(:mod:`memupdate.chain`) read and answer calls with these functions, so a policy sees the same texts in both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from memupdate.errors import FieldError
from memupdate.tools.replies import error_text

MALFORMED_CALL = "malformed_tool_call"
OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"
EXAMPLE = OPEN_TAG + '{"name": "search_memory", "arguments": {"query": "..."}}' + CLOSE_TAG
MAX_DEPTH = 16
"""The largest allowed depth of arguments, more than any tool needs. verl's message classes fail on very deep JSON."""


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """One tool call of a completion.

    Attributes:
        name: the tool's name, or ``MALFORMED_CALL`` if the call is malformed.
        arguments: the model's arguments, or ``{"problem": description}`` if the call is malformed.
    """

    name: str
    arguments: dict[str, Any]


def read_tool_calls(text: str, *, finished: bool) -> tuple[str, list[ParsedCall]]:
    """Parses the calls in a completion, in order.

    Args:
        text: the decoded completion.
        finished: whether the model ended the completion. If False, the length limit truncated it, and an unclosed last
            call is dropped instead of counted as malformed.

    Returns:
        The text outside the calls, and the calls.
    """
    around: list[str] = []
    calls: list[ParsedCall] = []
    place = 0
    while True:
        opened, closed = text.find(OPEN_TAG, place), text.find(CLOSE_TAG, place)
        if closed >= 0 and (opened < 0 or closed < opened):
            around.append(text[place:closed])
            calls.append(_malformed(f"{CLOSE_TAG} comes without {OPEN_TAG} before it"))
            place = closed + len(CLOSE_TAG)
        elif opened >= 0:
            around.append(text[place:opened])
            call, place = _read_call(text, opened + len(OPEN_TAG), finished)
            if call is not None:
                calls.append(call)
        else:
            return "".join([*around, text[place:]]), calls


def _read_call(text: str, start: int, finished: bool) -> tuple[ParsedCall | None, int]:
    """Parses the call whose text begins at ``start``. Returns the call, or None if it is dropped, and its end."""
    try:
        begin = start + len(text[start:]) - len(text[start:].lstrip())
        value, end = json.JSONDecoder().raw_decode(text, begin)
        rest = end + len(text[end:]) - len(text[end:].lstrip())
        if text.startswith(CLOSE_TAG, rest):  # tags inside the JSON's strings do not count
            return _check_call(value), rest + len(CLOSE_TAG)
        problem = f"the JSON is followed by {text[rest : rest + 20]!r} instead of {CLOSE_TAG}"
    except (ValueError, RecursionError) as error:
        problem = f"not valid JSON: {error}"
    closed, reopened = text.find(CLOSE_TAG, start), text.find(OPEN_TAG, start)
    if closed >= 0 and (reopened < 0 or closed < reopened):
        return _malformed(problem), closed + len(CLOSE_TAG)
    if reopened >= 0:
        return _malformed(f"{CLOSE_TAG} is missing before the next {OPEN_TAG}"), reopened
    return (_malformed(f"{CLOSE_TAG} is missing") if finished else None), len(text)


def _check_call(value: object) -> ParsedCall:
    if not isinstance(value, dict):
        return _malformed("it must be a JSON object with name and arguments")
    name, arguments = value.get("name"), value.get("arguments")
    if not isinstance(name, str) or not name:
        return _malformed("name is missing, or is not a string")
    if not isinstance(arguments, dict):
        return _malformed(f"arguments of {name!r} are missing, or are not a JSON object")
    if name == MALFORMED_CALL:
        return _malformed(f"there is no tool {name!r}")
    if _depth(arguments) > MAX_DEPTH:
        return _malformed(f"arguments are nested deeper than {MAX_DEPTH} levels")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _malformed("it holds half of a surrogate pair (\\ud800 to \\udfff), which is no character")
    return ParsedCall(name, arguments)


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deepest


def _malformed(problem: str) -> ParsedCall:
    # The quoted text may contain a lone surrogate, which the message must not.
    return ParsedCall(MALFORMED_CALL, {"problem": problem.encode(errors="replace").decode()})


def malformed_reply(call: ParsedCall) -> str:
    """Returns the answer to a malformed call."""
    return error_text(f"tool call: {call.arguments['problem']}; allowed: {EXAMPLE}")


def unknown_reply(name: str, tools: Iterable[str]) -> str:
    """Returns the answer to a call of a tool that does not exist. ``tools`` are those that do."""
    return error_text(FieldError("tool", name, ", ".join(tools)))


def ignored_reply(ignored: int, allowed: int) -> str:
    """Returns what is said about calls beyond the limit of a turn.

    Args:
        ignored: how many calls were not run; at least 1.
        allowed: how many calls a turn may have.
    """
    return error_text(
        f"{ignored} more tool call{'s' if ignored > 1 else ''} of this turn ignored; allowed: at most {allowed} "
        "in one turn"
    )
