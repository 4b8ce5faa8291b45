"""Row U17 in bulk: two hundred bad tool calls of every kind, each answered, none fatal, all counted."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_stage import Stage

from memupdate.agents.tool_calls import MALFORMED_CALL, MAX_DEPTH, ParsedCall, read_tool_calls

GOOD = {"name": "search_memory", "arguments": {"query": "who is afraid of spiders?", "top_k": 3}}


def tagged(text: str) -> str:
    return f"<tool_call>\n{text}\n</tool_call>"


def nested(depth: int) -> str:
    return '{"name": "search_memory", "arguments": ' + '{"deeper": ' * depth + "1" + "}" * depth + "}"


# What goes wrong, and how it must be counted: (kind of count, completion)
BREAKERS: list[tuple[str, Callable[[random.Random], str]]] = [
    ("malformed", lambda rng: tagged(json.dumps(GOOD)[: rng.randrange(1, 60)])),
    ("malformed", lambda rng: tagged(json.dumps(GOOD).replace('"', "'"))),
    ("malformed", lambda rng: tagged(json.dumps(GOOD)[:-1] + ",}")),
    ("malformed", lambda rng: tagged(json.dumps(GOOD) + "}" * rng.randrange(1, 4))),
    ("malformed", lambda rng: tagged("Sure! " + json.dumps(GOOD))),
    ("malformed", lambda rng: tagged("```json\n" + json.dumps(GOOD) + "\n```")),
    ("malformed", lambda rng: tagged("")),
    ("malformed", lambda rng: tagged("".join(rng.choices('{}[]":,abcé\\ \n0', k=rng.randrange(1, 30))) + "}")),
    ("malformed", lambda rng: tagged(json.dumps({"arguments": GOOD["arguments"]}))),
    ("malformed", lambda rng: tagged(json.dumps({"name": rng.choice([None, 3, "", []]), "arguments": {}}))),
    ("malformed", lambda rng: tagged(json.dumps({"name": "search_memory"}))),
    ("malformed", lambda rng: tagged(json.dumps({**GOOD, "arguments": rng.choice([None, "query", ["query"], 7])}))),
    ("malformed", lambda rng: tagged(json.dumps({**GOOD, "arguments": json.dumps(GOOD["arguments"])}))),
    ("malformed", lambda rng: tagged(json.dumps([GOOD]))),
    ("malformed", lambda rng: tagged(json.dumps(rng.choice([None, 1, "search_memory", True])))),
    ("malformed", lambda rng: "<tool_call>" + json.dumps(GOOD)),
    ("malformed", lambda rng: "<tool_call>" + json.dumps(GOOD)[: rng.randrange(60)]),
    ("malformed", lambda rng: json.dumps(GOOD) + "</tool_call>"),
    ("malformed", lambda rng: tagged(nested(rng.choice([20, 300, 1200])))),
    ("malformed", lambda rng: tagged("[" * rng.choice([1_200, 2_000]))),
    ("malformed", lambda rng: tagged('{"name": "search_memory", "arguments": {"query": "\\ud83d"}}')),
    ("malformed", lambda rng: tagged('{"name": "search_memory", "arguments": {"\\udc00": 1}}')),
    ("malformed", lambda rng: tagged('{"name": "search_memory", "arguments": {"top_k": ' + "9" * 5000 + "}}")),
    ("malformed", lambda rng: tagged(json.dumps({"name": MALFORMED_CALL, "arguments": {"problem": "none"}}))),
    ("unknown", lambda rng: tagged(json.dumps({**GOOD, "name": rng.choice(["search", "Search_Memory", "rm", "m12"])}))),
    ("error", lambda rng: tagged(json.dumps({**GOOD, "arguments": {}}))),
    ("error", lambda rng: tagged(json.dumps({**GOOD, "arguments": {"query": rng.choice([None, 3, [], {}, "", " "])}}))),
    ("error", lambda rng: tagged(json.dumps({**GOOD, "arguments": {"query": "x", "top_k": rng.choice([0, -1, "3"])}}))),
    ("error", lambda rng: tagged('{"name": "search_memory", "arguments": {"query": "x", "threshold": NaN}}')),
    ("error", lambda rng: tagged('{"name": "search_memory", "arguments": {"query": "x", "threshold": 1e999}}')),
    ("error", lambda rng: tagged(json.dumps({"name": "delete_memory", "arguments": {"memory_id": "m99"}}))),
    ("error", lambda rng: tagged(json.dumps({**GOOD, "arguments": {"query": "x", "limit": 3}}))),
]


def test_u17_two_hundred_bad_calls_are_answered_and_counted(stage: Callable[[], Stage]) -> None:
    rng = random.Random(17)
    bad = [BREAKERS[number % len(BREAKERS)] for number in range(200)]
    script = [breaker(rng) for _, breaker in bad]

    async def scenario() -> None:
        made = stage()
        played = await made.play([*script, "Done."], max_assistant_turns=1000, response_length=10**7)
        assert len(played.tool_texts) == 200
        for text in played.tool_texts:
            assert text.startswith("Error: ")
            assert "allowed: " in text or "[cut: " in text
            assert len(text) > 30
            text.encode()
        fields = played.output.extra_fields
        expected = Counter(kind for kind, _ in bad)
        assert fields["turns"] == 201
        assert fields["malformed_calls"] == expected["malformed"]
        assert fields["unknown_calls"] == expected["unknown"]
        errors = {name: value for name, value in fields.items() if name.startswith("errors_")}
        calls = {name: value for name, value in fields.items() if name.startswith("calls_")}
        assert sum(errors.values()) == sum(calls.values()) == expected["error"]
        assert fields["memory_count_after"] == fields["memory_count_before"] == 3

    asyncio.run(scenario())


def test_u17_good_and_bad_calls_of_one_turn_are_told_apart(stage: Callable[[], Stage]) -> None:
    async def scenario() -> None:
        good = tagged(json.dumps({"name": "delete_memory", "arguments": {"memory_id": "m1"}}))
        turn = "First " + good + tagged("{") + "<tool_call>{" + good.replace("m1", "m2") + "</tool_call> and " + good
        played = await stage().play([turn, "Done."])
        begins = played.tool_texts
        assert begins[0] == "Deleted [m1]."
        assert begins[1].startswith("Error: tool call: not valid JSON")
        assert begins[2].startswith("Error: tool call: </tool_call> is missing")
        assert begins[3] == "Deleted [m2]."
        assert begins[4].startswith("Error: tool call: </tool_call> comes without")
        assert begins[5].startswith("Error: memory_id: 'm1'")
        assert played.output.extra_fields["malformed_calls"] == 3

    asyncio.run(scenario())


@pytest.mark.parametrize("finished", [True, False])
def test_only_the_last_call_can_be_cut_by_the_limit(finished: bool) -> None:
    text = tagged(json.dumps(GOOD)) + "<tool_call>{" + tagged(json.dumps(GOOD)) + '<tool_call>{"na'
    names = [call.name for call in read_tool_calls(text, finished=finished)[1]]
    whole = ["search_memory", MALFORMED_CALL, "search_memory"]
    assert names == ([*whole, MALFORMED_CALL] if finished else whole)


PIECES = st.sampled_from(
    ["<tool_call>", "</tool_call>", "\n", "{", "}", '"', '"name": "x"', '"arguments": {}', ", ", "a"]
)
TEXTS = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join) | st.text()


@given(TEXTS, st.booleans())
def test_u17_no_text_makes_the_parser_fail_and_no_tag_passes_unseen(text: str, finished: bool) -> None:
    around, calls = read_tool_calls(text, finished=finished)
    assert "<tool_call>" not in around
    assert len(calls) <= text.count("<tool_call>") + text.count("</tool_call>")
    if finished and "<tool_call>" in text:
        assert calls
    if "tool_call>" not in text:
        assert (around, calls) == (text, [])


KEYS = st.text(max_size=4) | st.sampled_from(["<tool_call>", "</tool_call>"])
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=8), st.dictionaries(KEYS, VALUES, max_size=3)), max_size=3),
    st.booleans(),
)
def test_a_well_formed_call_is_read_as_it_was_written(
    written: list[tuple[str, dict[str, Any]]], finished: bool
) -> None:
    written = [one for one in written if one[0] != MALFORMED_CALL and _levels(one[1]) <= MAX_DEPTH]
    text = "thinking " + "".join(
        tagged(json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)) for name, arguments in written
    )
    around, calls = read_tool_calls(text, finished=finished)
    assert calls == [ParsedCall(name, arguments) for name, arguments in written]
    assert around == "thinking "


def _levels(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max((_levels(one) for one in inner), default=0)
