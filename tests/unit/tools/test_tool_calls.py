"""The six tools without a framework: parameters in, operations out, results to text (rows U8, U10 to U17).

Rows U14, U17, U37.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memupdate.broker import Outcome
from memupdate.broker.results import result_record
from memupdate.errors import FieldError, MemupdateError
from memupdate.memory import HashingEmbedder, Memory, MemoryBank, Operation
from memupdate.tools import TOOLS, CallContext, TrajectoryCounts, counts_in, error_text, load_tool
from memupdate.tools.parameter import Parameter

CONTEXT = CallContext("conv-a-qa0-00000000-s1r0", 4)


def parse_call(name: str, arguments: object, context: CallContext) -> Operation:
    return load_tool(name).parse(arguments, context)


def result_text(name: str, operation: Operation, bank: MemoryBank) -> str:
    return load_tool(name).reply(operation, Outcome(result_record(bank.apply(operation))))


# The acceptance table, word for word: (required, optional)
TABLE = {
    "search_memory": ({"query"}, {"top_k", "memory_type", "threshold"}),
    "manage_memory": ({"operation", "content"}, {"memory_type", "metadata", "source", "memory_id"}),
    "delete_memory": ({"memory_id"}, {"reason"}),
    "sample_memory": ({"k"}, {"memory_type", "strategy"}),
    "merge_memory": ({"memory_ids", "strategy"}, set()),
    "split_memory": ({"memory_id", "split_criteria"}, {"max_parts"}),
}


def test_the_tools_take_the_parameters_of_the_acceptance_table() -> None:
    assert {
        name: (
            {parameter.name for parameter in load_tool(name).parameters if parameter.required},
            {parameter.name for parameter in load_tool(name).parameters if not parameter.required},
        )
        for name in TOOLS
    } == TABLE


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "expected"),
    [
        ("search_memory", {"query": "q", "top_k": 2, "memory_type": "semantic", "threshold": 0.5}, "search", None),
        ("manage_memory", {"operation": "create", "content": "c"}, "create", {"content": "c"}),
        (
            "manage_memory",
            {"operation": "update", "content": "c", "memory_id": "m1"},
            "update",
            {"content": "c", "memory_id": "m1"},
        ),
        ("delete_memory", {"memory_id": "m1", "reason": "old"}, "delete", None),
        ("merge_memory", {"memory_ids": ["m1", "m2"], "strategy": "summarize"}, "merge", None),
        ("split_memory", {"memory_id": "m1", "split_criteria": "speaker", "max_parts": 5}, "split", None),
    ],
)
def test_a_call_becomes_one_operation(
    name: str, arguments: dict[str, Any], kind: str, expected: dict[str, Any] | None
) -> None:
    operation = parse_call(name, arguments, CONTEXT)
    assert operation.kind == kind
    assert operation.arguments == (arguments if expected is None else expected)


def test_u17_an_optional_parameter_that_is_null_was_not_given() -> None:
    operation = parse_call("search_memory", {"query": "q", "top_k": None, "memory_type": None}, CONTEXT)
    assert operation.arguments == {"query": "q"}


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("search_memory", {}, "query: got None; allowed: a string"),
        ("search_memory", {"query": 3}, "query: got 3; allowed: a string"),
        ("search_memory", {"query": "q", "top_k": "5"}, "top_k: got '5'; allowed: a whole number from 1"),
        ("search_memory", {"query": "q", "top_k": 0}, "top_k: got 0; allowed: a whole number from 1"),
        ("search_memory", {"query": "q", "top_k": True}, "top_k: got True; allowed: a whole number from 1"),
        ("search_memory", {"query": "q", "threshold": 1.5}, "threshold: got 1.5; allowed: a number from 0 to 1"),
        (
            "search_memory",
            {"query": "q", "threshold": float("nan")},
            "threshold: got nan; allowed: a number from 0 to 1",
        ),
        (
            "search_memory",
            {"query": "q", "memory_type": "fact"},
            "memory_type: got 'fact'; allowed: episodic, semantic, procedural",
        ),
        (
            "search_memory",
            {"query": "q", "limit": 3},
            "limit: got 3; allowed: search_memory takes query, top_k, memory_type, threshold",
        ),
        ("manage_memory", {"content": "c"}, "operation: got None; allowed: create, update"),
        ("manage_memory", {"operation": "delete", "content": "c"}, "operation: got 'delete'; allowed: create, update"),
        (
            "manage_memory",
            {"operation": "update", "content": "c"},
            "memory_id: got None; allowed: the id of the memory to update",
        ),
        (
            "manage_memory",
            {"operation": "create", "content": "c", "memory_id": "m1"},
            "memory_id: got 'm1'; allowed: nothing for create (use update to change a memory)",
        ),
        (
            "manage_memory",
            {"operation": "create", "content": "c", "metadata": []},
            "metadata: got []; allowed: a JSON object",
        ),
        ("sample_memory", {}, "k: got None; allowed: a whole number from 1"),
        (
            "merge_memory",
            {"memory_ids": ["m1"], "strategy": "concatenate"},
            "memory_ids: got ['m1']; allowed: a list of 2 to 5 strings",
        ),
        (
            "merge_memory",
            {"memory_ids": [1, 2], "strategy": "concatenate"},
            "memory_ids: got [1, 2]; allowed: a list of 2 to 5 strings",
        ),
        (
            "split_memory",
            {"memory_id": "m1", "split_criteria": "temporal", "max_parts": 6},
            "max_parts: got 6; allowed: a whole number from 2 to 5",
        ),
        ("delete_memory", ["m1"], "arguments: got ['m1']; allowed: a JSON object with memory_id, reason"),
        (
            "drop_memory",
            {},
            "tool: got 'drop_memory'; allowed: "
            "search_memory, manage_memory, delete_memory, sample_memory, merge_memory, split_memory",
        ),
    ],
)
def test_u17_a_wrong_parameter_is_named_with_its_value_and_what_is_allowed(
    name: str, arguments: object, text: str
) -> None:
    with pytest.raises(FieldError) as caught:
        parse_call(name, arguments, CONTEXT)
    assert error_text(caught.value) == f"Error: {text}"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELD_NAMES = sorted({parameter.name for name in TOOLS for parameter in load_tool(name).parameters})


@given(
    st.sampled_from([*TOOLS, "other"]),
    st.dictionaries(st.sampled_from(FIELD_NAMES) | st.text(), JSON_VALUES) | JSON_VALUES,
)
def test_u17_any_json_is_an_operation_or_a_field_error(name: str, arguments: Any) -> None:
    bank = MemoryBank.from_memories([Memory("m1", "one"), Memory("m2", "two")], HashingEmbedder(16))
    try:
        operation = parse_call(name, arguments, CONTEXT)
        text = result_text(name, operation, bank)
    except MemupdateError as error:
        assert str(error)
    else:
        assert text


def test_u17_half_a_surrogate_pair_is_a_field_error() -> None:
    bank = MemoryBank.from_memories([Memory("m1", "one")], HashingEmbedder(16))
    with pytest.raises(FieldError, match="content"):
        bank.apply(parse_call("manage_memory", {"operation": "create", "content": "\ud800"}, CONTEXT))
    with pytest.raises(FieldError, match="query"):
        bank.apply(parse_call("search_memory", {"query": "\udfff"}, CONTEXT))


def test_results_are_the_agreed_texts() -> None:
    bank = MemoryBank.from_memories(
        [Memory("m1", "Ana likes tea.\nAna sings.", session_date="8 May, 2023"), Memory("m2", "Ben likes tea")],
        HashingEmbedder(),
    )

    def answer(name: str, **arguments: Any) -> str:
        operation = parse_call(name, arguments, CONTEXT)
        return result_text(name, operation, bank)

    (hit,) = bank.search("Ben likes tea", top_k=1)
    assert hit.score == 1.0
    assert answer("search_memory", query="Ben likes tea", top_k=1) == "[m2] 1.00 Ben likes tea"
    both = answer("search_memory", query="Ana sings").split("\n")
    assert both[0] == f"[m1] {bank.search('Ana sings')[0].score:.2f} Ana likes tea. Ana sings. (8 May, 2023)"
    assert [line[:4] for line in both] == ["[m1]", "[m2]"]  # one line for each, best first
    assert answer("search_memory", query="Ana", memory_type="semantic") == "No memories found."
    assert answer("sample_memory", k=1, strategy="recent") == "[m2] Ben likes tea"
    assert answer("sample_memory", k=1, memory_type="semantic") == "No memories found."
    assert answer("manage_memory", operation="create", content="Cy likes tea") == "Created [m3]."
    context = CONTEXT  # the same call again edits nothing: at-least-once delivery
    create = parse_call("manage_memory", {"operation": "create", "content": "Cy likes tea"}, context)
    assert result_text("manage_memory", create, bank) == "Created [m3]."
    assert len(bank) == 3


@pytest.mark.parametrize(
    ("name", "arguments", "pattern"),
    [
        (
            "manage_memory",
            {"operation": "update", "content": "Ben likes coffee", "memory_id": "m2"},
            r"Updated \[m2\]\.",
        ),
        ("delete_memory", {"memory_id": "m2"}, r"Deleted \[m2\]\."),
        ("merge_memory", {"memory_ids": ["m1", "m2"], "strategy": "concatenate"}, r"Merged into \[m3\]\."),
        (
            "split_memory",
            {"memory_id": "m1", "split_criteria": "thematic", "max_parts": 2},
            r"Split into \[m3\] \[m4\]\.",
        ),
    ],
)
def test_edits_are_answered_with_the_ids(name: str, arguments: dict[str, Any], pattern: str) -> None:
    bank = MemoryBank.from_memories(
        [Memory("m1", "Ana drinks green tea. The opera opens in Vienna."), Memory("m2", "Ben likes tea")],
        HashingEmbedder(),
    )
    operation = parse_call(name, arguments, CONTEXT)
    text = result_text(name, operation, bank)
    assert re.fullmatch(pattern, text)


def test_u14_a_sample_is_seeded_by_namespace_and_call_number() -> None:
    def seed(namespace: str, number: int) -> object:
        return parse_call("sample_memory", {"k": 2}, CallContext(namespace, number)).arguments["seed"]

    assert seed("a", 0) == seed("a", 0)
    assert len({seed(namespace, number) for namespace in "abc" for number in range(20)}) == 60


def test_an_idempotency_key_belongs_to_one_call() -> None:
    arguments = {"memory_id": "m1"}
    keys = {parse_call("delete_memory", arguments, CallContext("t", number)).key for number in range(5)}
    assert len(keys) == 5
    assert parse_call("delete_memory", arguments, CallContext("t")).key == ""


def test_u37_counts_are_flat_floats_with_the_same_keys() -> None:
    counts = TrajectoryCounts(turns=3, malformed_calls=1)
    counts.calls["search_memory"] += 2
    fields = counts.to_fields()
    assert fields["turns"] == 3.0
    assert fields["calls_search_memory"] == 2.0
    assert set(fields) == set(TrajectoryCounts().to_fields())
    assert {type(value) for value in fields.values()} == {float}
    assert counts_in({**fields, "namespace": "t"}) == fields
    assert counts_in({}) == TrajectoryCounts().to_fields()


def test_the_plain_part_loads_without_verl() -> None:
    code = "import sys, memupdate.tools; print(json.dumps('verl' in sys.modules))".replace(
        "import sys", "import sys, json"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False


def test_operations_survive_the_journal() -> None:
    operation = parse_call("delete_memory", {"memory_id": "m1"}, CONTEXT)
    assert Operation.from_json(json.loads(json.dumps(operation.to_json()))) == operation


def test_a_parameter_has_a_kind_that_exists() -> None:
    with pytest.raises(FieldError, match="kind of parameter 'count': got 'int'; allowed: one of string, integer"):
        Parameter("count", "int", "How many.")


@pytest.mark.parametrize(
    ("kind", "value"), [("string", "x"), ("integer", 1), ("number", 1.5), ("object", {}), ("strings", ["x"])]
)
def test_every_kind_of_parameter_takes_its_own_values(kind: str, value: object) -> None:
    parameter = Parameter("given", kind, "d")
    assert parameter.accepts(value)
    assert not parameter.accepts(None)
    assert parameter.allowed and parameter.schema["description"] == "d"
