"""Memory mutations.

Rows U11, U12, U13.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from small_bank import facts

from memupdate.errors import FieldError, MemupdateError, UnknownMemoryError
from memupdate.memory import HashingEmbedder, Memory, MemoryBank, Operation


def test_u11_create_stores_every_field_and_returns_the_new_id(bank: MemoryBank) -> None:
    memory = bank.create(
        "Oscar is a guinea pig.",
        "semantic",
        {"confidence": 0.5},
        "dialogue",
        speaker="Caroline",
        session=2,
        session_date="25 May, 2023",
        evidence=["D2:3"],
    )
    assert memory == Memory(
        "m7",
        "Oscar is a guinea pig.",
        "semantic",
        "Caroline",
        2,
        "25 May, 2023",
        ("D2:3",),
        "dialogue",
        {"confidence": 0.5},
    )
    assert len(bank) == 7
    assert list(bank) == [*facts(), memory]
    assert bank.get("m7") == memory
    assert bank.create("Plain.").memory_type == "episodic"


def test_u12_update_changes_in_place(bank: MemoryBank) -> None:
    updated = bank.update("m2", "Melanie painted a sunset.", "semantic", {"seen": True}, "correction")
    expected = facts()
    assert updated == Memory(
        "m2",
        "Melanie painted a sunset.",
        "semantic",
        expected[1].speaker,
        1,
        expected[1].session_date,
        expected[1].evidence,
        "correction",
        {"seen": True},
    )
    expected[1] = updated
    assert list(bank) == expected
    kept = bank.update("m2", "Melanie painted a moon.")
    assert (kept.memory_type, kept.metadata, kept.source) == ("semantic", {"seen": True}, "correction")
    added = bank.create("new")
    bank.update(added.id, "newer")
    assert [memory.content for memory in bank][-2:] == ["Caroline moved from Sweden four years ago.", "newer"]
    assert len(bank) == 7


def test_u13_delete_removes_that_id_and_records_the_reason(bank: MemoryBank) -> None:
    assert bank.delete("m3", reason="outdated") == facts()[2]
    added = bank.create("new")
    bank.delete(added.id)
    assert [memory.id for memory in bank] == ["m1", "m2", "m4", "m5", "m6"]
    assert "m3" not in bank
    assert bank.journal[0].to_json() == {
        "kind": "delete",
        "arguments": {"memory_id": "m3", "reason": "outdated"},
        "key": "",
    }


def test_u13_a_deleted_id_never_comes_back(bank: MemoryBank) -> None:
    ids = []
    for _ in range(4):
        ids.append(bank.create("new").id)
        bank.delete(ids[-1])
    assert ids == ["m7", "m8", "m9", "m10"]
    for memory_id in (*ids, "m3"):
        if memory_id == "m3":
            bank.delete("m3")
        for edit in (bank.get, bank.delete, lambda name: bank.update(name, "x")):
            with pytest.raises(UnknownMemoryError, match=memory_id):
                edit(memory_id)


def test_new_ids_count_on_from_the_highest_given_one() -> None:
    bank = MemoryBank.from_memories([Memory("m9", "a"), Memory("note", "b"), Memory("m2", "c")], HashingEmbedder())
    assert bank.create("d").id == "m10"
    assert MemoryBank.from_memories([], HashingEmbedder()).create("first").id == "m1"


WRONG: list[tuple[type[MemupdateError], Callable[[MemoryBank], object]]] = [
    (UnknownMemoryError, lambda bank: bank.update("m99", "x")),
    (UnknownMemoryError, lambda bank: bank.delete("m99")),
    (UnknownMemoryError, lambda bank: bank.delete("")),
    (UnknownMemoryError, lambda bank: bank.merge(["m1", "m99"], "concatenate")),
    (UnknownMemoryError, lambda bank: bank.split("m99", "temporal")),
    (FieldError, lambda bank: bank.create("")),
    (FieldError, lambda bank: bank.create("x" * 8001)),
    (FieldError, lambda bank: bank.create("\udc00")),
    (FieldError, lambda bank: bank.create(None)),  # type: ignore[arg-type]
    (FieldError, lambda bank: bank.create("x", memory_type="fact")),
    (FieldError, lambda bank: bank.create("x", metadata="y")),  # type: ignore[arg-type]
    (FieldError, lambda bank: bank.create("x", metadata={"y": float("inf")})),
    (FieldError, lambda bank: bank.create("x", evidence="D1:1")),
    (FieldError, lambda bank: bank.update("m1", " ")),
    (FieldError, lambda bank: bank.update("m1", "x", memory_type="fact")),
    (FieldError, lambda bank: bank.update(["m1"], "x")),  # type: ignore[arg-type]
    (FieldError, lambda bank: bank.delete("m1", reason=3)),  # type: ignore[arg-type]
    (FieldError, lambda bank: bank.merge(["m1"], "concatenate")),
    (FieldError, lambda bank: bank.merge(["m1", "m1"], "concatenate")),
    (FieldError, lambda bank: bank.merge([f"m{n}" for n in range(1, 7)], "concatenate")),
    (FieldError, lambda bank: bank.merge("m1", "concatenate")),
    (FieldError, lambda bank: bank.merge(["m1", ["m2"]], "concatenate")),  # type: ignore[list-item]
    (FieldError, lambda bank: bank.merge(["m1", "m2"], "join")),
    (FieldError, lambda bank: bank.merge(["m1", "m2"], ["concatenate"])),  # type: ignore[arg-type]
    (FieldError, lambda bank: bank.split("m1", "length")),
    (FieldError, lambda bank: bank.split("m1", ["temporal"])),  # type: ignore[arg-type]
    (FieldError, lambda bank: bank.split("m1", "temporal", 1)),
    (FieldError, lambda bank: bank.split("m1", "temporal", 6)),
    (FieldError, lambda bank: bank.split("m1", "temporal", "3")),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("kind", "edit"), WRONG)
def test_a_refused_edit_leaves_no_trace(
    bank: MemoryBank, kind: type[MemupdateError], edit: Callable[[MemoryBank], object]
) -> None:
    before = bank.digest()
    with pytest.raises(kind) as error:
        edit(bank)
    assert bank.digest() == before
    assert bank.journal == []
    assert len(bank) == 6
    assert len(str(error.value)) < 350


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"kind": "drop", "arguments": {}, "key": ""}, "kind"),
        ({"kind": ["create"], "arguments": {}, "key": ""}, "kind"),
        ({"kind": "create", "arguments": {}, "key": ""}, "content"),
        ({"kind": "create", "arguments": {"content": None}, "key": ""}, "content"),
        ({"kind": "create", "arguments": {"content": "x", "id": "m1"}, "key": ""}, "id"),
        ({"kind": "create", "arguments": ["x"], "key": ""}, "arguments"),
        ({"kind": "create", "arguments": {"content": {1, 2}}, "key": ""}, "arguments"),
        ({"kind": "create", "arguments": {"content": "x"}, "key": 3}, "key"),
        ({"kind": "create"}, "operation"),
        ([], "operation"),
    ],
)
def test_a_malformed_operation_names_its_field(record: object, field: str) -> None:
    with pytest.raises(FieldError) as error:
        Operation.from_json(record)  # type: ignore[arg-type]
    assert error.value.field == field


def test_an_operation_is_a_json_record_of_its_own() -> None:
    metadata = {"tags": ["a"]}
    operation = Operation("create", {"content": "x", "metadata": metadata, "source": None}, "turn-1")
    metadata["tags"].append("b")
    assert operation.arguments == {"content": "x", "metadata": {"tags": ["a"]}}
    assert Operation.from_json(json.loads(json.dumps(operation.to_json()))) == operation
    plain = {"memory_id": "m1", "content": "x", "source": None}
    operation = Operation("update", plain)
    plain["content"] = "changed afterwards"
    assert operation.arguments == {"memory_id": "m1", "content": "x"}
    assert operation.is_mutation
    assert not Operation("search", {"query": "x"}).is_mutation


def test_mean_characters_follows_the_contents(bank: MemoryBank) -> None:
    empty = MemoryBank.from_memories([], HashingEmbedder())
    assert empty.mean_characters() == 0.0
    bank.create("four")
    bank.update("m1", "x" * 100)
    bank.update("m1", "x" * 10)
    bank.delete("m2")
    bank.merge(["m3", "m7"], "concatenate")
    contents = [memory.content for memory in bank]
    assert bank.mean_characters() == sum(map(len, contents)) / len(contents)
