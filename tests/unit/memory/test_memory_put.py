"""``put``: create under a given id, or replace; ids, replay, idempotency."""

from __future__ import annotations

import pytest
from small_bank import facts

from memupdate.errors import FieldError
from memupdate.memory import CachingEmbedder, HashingEmbedder, Memory, MemoryBank, Operation

EMBEDDER = CachingEmbedder(HashingEmbedder())


def test_put_of_a_new_id_adds_a_memory_that_is_found(bank: MemoryBank) -> None:
    put = bank.put("tea", "Ana drinks green tea", "semantic", {"cups": 2}, "store", speaker="Ana", evidence=("D1:1",))
    expected = Memory(
        "tea", "Ana drinks green tea", "semantic", "Ana", evidence=("D1:1",), source="store", metadata={"cups": 2}
    )
    assert put == bank.get("tea") == expected
    assert [memory.id for memory in bank][-1] == "tea"
    assert len(bank) == len(facts()) + 1
    assert bank.search("green tea", top_k=1)[0].memory == expected


def test_put_of_a_known_id_replaces_all_of_it_in_its_place(bank: MemoryBank) -> None:
    bank.put("m2", "Melanie sold the painting")
    assert bank.get("m2") == Memory("m2", "Melanie sold the painting")  # no speaker, date or type is left over
    assert [memory.id for memory in bank] == [memory.id for memory in facts()]
    assert all(hit.id != "m2" for hit in bank.search("lake sunrise", top_k=9) if hit.score > 0.01)


def test_an_initial_memory_that_was_deleted_can_be_put_and_deleted_again(bank: MemoryBank) -> None:
    before = bank.fork()
    bank.delete("m3")
    bank.put("m3", "Melanie runs again")
    assert [memory.id for memory in bank][-1] == "m3"
    bank.delete("m3")
    assert "m3" not in bank
    assert "m3" in before


def test_generated_ids_stay_clear_of_every_id_that_was_put() -> None:
    bank = MemoryBank.from_memories([], EMBEDDER)
    bank.put("m3", "three")
    bank.put("m7", "seven")
    bank.delete("m7")
    made = [bank.create(f"text {n}").id for n in range(4)]
    assert made == ["m8", "m9", "m10", "m11"]


@pytest.mark.parametrize("memory_id", ["m" + "9" * 5000, "m\u0665", "M5", "m5 ", "m-5", "x"])
def test_other_ids_leave_the_count_alone(memory_id: str) -> None:
    bank = MemoryBank.from_memories([], EMBEDDER)
    bank.put(memory_id, "anything")
    assert bank.create("next").id == "m1"


def test_replay_gives_the_same_state(bank: MemoryBank) -> None:
    base = bank.snapshot()
    bank.put("a", "first")
    bank.put("a", "second")
    bank.delete("a")
    bank.put("m40", "far")
    bank.create("after")
    records = [operation.to_json() for operation in bank.journal]
    twin = MemoryBank.replay(base, [Operation.from_json(record) for record in records])
    assert twin.digest() == bank.digest()
    assert list(twin) == list(bank)
    assert twin.create("more").id == "m42"


def test_digest_tells_a_used_number_from_a_free_one() -> None:
    used, free = (MemoryBank.from_memories([], EMBEDDER) for _ in range(2))
    used.put("m5", "gone")
    used.delete("m5")
    assert list(used) == list(free) == []
    assert used.digest() != free.digest()


def test_a_put_is_applied_once_per_key(bank: MemoryBank) -> None:
    operation = Operation("put", {"memory_id": "tea", "content": "green"}, key="k1")
    first = bank.apply(operation)
    bank.put("tea", "black")
    assert bank.apply(operation) == first
    assert bank.get("tea").content == "black"
    assert bank.has_applied("k1")
    with pytest.raises(FieldError, match="key"):
        bank.apply(Operation("put", {"memory_id": "tea", "content": "other"}, key="k1"))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"memory_id": "", "content": "x"}, "id"),
        ({"memory_id": 3, "content": "x"}, "id"),
        ({"memory_id": "a", "content": " "}, "content"),
        ({"memory_id": "a", "content": "x" * 8001}, "content"),
        ({"memory_id": "a", "content": "x", "memory_type": "other"}, "memory_type"),
    ],
)
def test_a_refused_put_leaves_no_trace(bank: MemoryBank, arguments: dict, field: str) -> None:
    before = bank.digest()
    with pytest.raises(FieldError) as refused:
        bank.apply(Operation("put", arguments))
    assert refused.value.field == field
    assert bank.digest() == before
    assert bank.journal == []
