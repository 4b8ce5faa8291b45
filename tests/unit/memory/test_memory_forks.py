"""Memory forks.

Rows U22.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from small_bank import FACTS, facts

from memupdate.errors import FieldError
from memupdate.memory import CachingEmbedder, HashingEmbedder, Memory, MemoryBank, Operation


def test_u22_the_initial_snapshot_is_the_base_after_any_edits(bank: MemoryBank) -> None:
    before = bank.digest()
    fork = bank.fork()
    fork.update("m1", "changed")
    fork.delete("m2")
    again = fork.fork()
    again.merge(["m3", "m5"], "concatenate")
    for edited in (fork, again):
        assert edited.digest() != before
        assert edited.initial.digest() == before
        assert list(edited.initial) == facts()
        assert edited.initial.mean_characters() == pytest.approx(sum(len(text) for _, text in FACTS) / 6)
    assert again.initial.search("changed", top_k=9) == bank.search("changed", top_k=9)


def test_u22_a_snapshot_stays_as_it_was(bank: MemoryBank) -> None:
    bank.create("first")
    snapshot = bank.snapshot()
    kept = (list(snapshot), snapshot.digest(), snapshot.search("first"), len(snapshot), snapshot.mean_characters())
    bank.update("m7", "second")
    bank.delete("m1")
    bank.create("third")
    assert (
        list(snapshot), snapshot.digest(), snapshot.search("first"), len(snapshot), snapshot.mean_characters()
    ) == kept  # fmt: skip
    assert not hasattr(snapshot, "apply")
    assert "m1" in snapshot
    fork = MemoryBank.from_view(snapshot)
    fork.delete("m7")
    assert (list(snapshot), snapshot.digest()) == kept[:2]


def test_u22_every_count_is_the_same_count(bank: MemoryBank) -> None:
    bank.create("Ann ran. Bob slept.")
    bank.delete("m1")
    bank.split("m7", "temporal")
    bank.merge(["m2", "m3", "m4"], "concatenate")
    count = 6 + 1 - 1 - 1 + 2 - 3 + 1
    assert len(bank) == len(list(bank)) == len(bank.snapshot()) == len(bank.search("x", top_k=99)) == count
    assert len(bank.sample(99)) == count


def test_a_fork_and_its_parent_do_not_see_each_other() -> None:
    bank = MemoryBank.from_memories(facts(), HashingEmbedder())
    bank.create("before the fork")
    fork = bank.fork()
    bank.delete("m1")
    bank.update("m7", "parent's own")
    fork.update("m1", "fork's own")
    fork.create("fork's new")
    bank.create("parent's new")
    assert next(iter(bank)).content == FACTS[1][1]
    assert [memory.content for memory in bank][-2:] == ["parent's own", "parent's new"]
    assert fork.get("m1").content == "fork's own"
    assert [memory.content for memory in fork][-2:] == ["before the fork", "fork's new"]
    assert bank.get("m8").content != fork.get("m8").content
    assert "fork's new" not in [hit.content for hit in bank.search("new fork", top_k=99)]
    assert "parent's new" not in [hit.content for hit in fork.search("new parent", top_k=99)]
    assert [operation.kind for operation in bank.journal] == ["create", "delete", "update", "create"]
    assert [operation.kind for operation in fork.journal] == ["create", "update", "create"]


def test_an_idle_fork_costs_the_same_whatever_the_size() -> None:
    rng = np.random.default_rng(0)
    sizes = {}
    for count in (10, 5000):
        rows_ND = rng.standard_normal((count, 64)).astype(np.float32)
        rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
        memories = [Memory(f"m{number}", f"fact {number}") for number in range(count)]
        bank = MemoryBank.from_memories(memories, HashingEmbedder(64), rows_ND)
        bank.create("new")
        tracemalloc.start()
        forks = [bank.fork() for _ in range(200)]
        sizes[count] = tracemalloc.get_traced_memory()[0] / len(forks)
        edited = [fork for fork in forks if fork.delete("m3")]
        size_edited = tracemalloc.get_traced_memory()[0] / len(edited)
        tracemalloc.stop()
        assert sizes[count] < 200
        assert size_edited < 10_000
    assert sizes[10] == pytest.approx(sizes[5000], rel=0.2)


def edits() -> list[Operation]:
    return [
        Operation("create", {"content": "Oscar is a pig. He eats hay. He was born in 2019."}, "a"),
        Operation("update", {"memory_id": "m2", "content": "Melanie painted a sunset."}, "b"),
        Operation("split", {"memory_id": "m7", "split_criteria": "temporal"}, "c"),
        Operation("merge", {"memory_ids": ["m3", "m8"], "strategy": "summarize"}, "d"),
        Operation("delete", {"memory_id": "m1", "reason": "old"}, "e"),
    ]


def test_replaying_the_journal_gives_the_same_state(bank: MemoryBank) -> None:
    edited = bank.fork()
    for operation in edits():
        edited.apply(operation)
    assert edited.journal == edits()
    travelled = [Operation.from_json(operation.to_json()) for operation in edited.journal]
    other = MemoryBank.from_memories(facts(), HashingEmbedder())  # as another process would build it
    replayed = MemoryBank.replay(other, travelled)
    assert replayed.digest() == edited.digest() != bank.digest()
    assert list(replayed) == list(edited)
    assert replayed.search("hay", top_k=99) == edited.search("hay", top_k=99)
    assert other.digest() == bank.digest()
    middle = MemoryBank.replay(bank, edits()[:2]).snapshot()
    assert MemoryBank.replay(middle, edits()[2:]).digest() == edited.digest()


def test_the_same_key_changes_nothing_the_second_time(bank: MemoryBank) -> None:
    first = [bank.apply(operation) for operation in edits()]
    state, journal = bank.digest(), bank.journal
    assert bank.has_applied("c")
    assert isinstance(first[2], list)
    first[2].clear()  # what a caller does with its list is its own affair
    second = [bank.apply(operation) for operation in edits()]
    assert (bank.digest(), bank.journal) == (state, journal)
    assert second[0] == first[0]
    assert isinstance(second[2], list)
    assert [memory.content for memory in second[2]] == ["Oscar is a pig. He eats hay.", "He was born in 2019."]
    assert second[3:] == first[3:]
    assert bank.texts_to_embed(edits()[0]) == []


def test_a_key_belongs_to_one_operation(bank: MemoryBank) -> None:
    bank.apply(Operation("create", {"content": "x"}, "turn-1"))
    with pytest.raises(FieldError, match="turn-1"):
        bank.apply(Operation("create", {"content": "y"}, "turn-1"))
    fork = bank.fork()
    fork.apply(Operation("create", {"content": "y"}, "turn-2"))
    assert not bank.has_applied("turn-2")
    for _ in range(2):  # without a key every delivery counts
        bank.apply(Operation("create", {"content": "z"}))
    assert len(bank) == 9


def test_digest_is_of_the_state_and_not_of_its_history() -> None:
    base = MemoryBank.from_memories(facts()[:-1], HashingEmbedder())
    last = facts()[-1]
    base.create(
        last.content,
        last.memory_type,
        source=last.source,
        speaker=last.speaker,
        session=last.session,
        session_date=last.session_date,
        evidence=last.evidence,
    )
    whole = MemoryBank.from_memories(facts(), HashingEmbedder(64))
    assert base.digest() == whole.digest()
    bank = whole.fork()
    bank.update("m1", "changed")
    assert bank.digest() != whole.digest()
    bank.update("m1", facts()[0].content)
    assert bank.digest() == whole.digest()
    bank.create("x")
    bank.delete("m7")
    assert bank.digest() != whole.digest()  # the next memory will have another id
    assert MemoryBank.from_memories(facts()[::-1], HashingEmbedder()).digest() != whole.digest()


def test_reads_are_operations_and_are_not_journaled(bank: MemoryBank) -> None:
    before = bank.digest()
    assert bank.apply(Operation("search", {"query": "adoption", "top_k": 2})) == bank.search("adoption", 2)
    assert bank.apply(Operation("sample", {"k": 2, "seed": 3})) == bank.sample(2, seed=3)
    assert bank.journal == []
    assert bank.digest() == before
    assert isinstance(bank.embedder, CachingEmbedder)
