"""Banks by namespace, without Ray: rows U19, U21, U22, U23, U25."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process_broker import write_conversation

from memupdate.broker import BankRegistry, Conversations, UnknownNamespaceError
from memupdate.errors import DataError, FieldError
from memupdate.memory import CachingEmbedder, HashingEmbedder, MemoryBank, Operation, read_memories
from memupdate.rewards import BankState

CONTENTS_A = [f"Ana planted tree number {n} in the garden" for n in range(8)] + ["Ana is afraid of spiders"]


def contents(registry: BankRegistry, namespace: str) -> dict[str, str]:
    return {str(memory["id"]): str(memory["content"]) for memory in registry.list_memories(namespace)}


def test_u21_every_operation_acts_on_the_namespace_and_answers_in_json(registry: BankRegistry) -> None:
    assert registry.open("t1", "conv-a") == {"count": 9, "created": True}
    created, updated, deleted, merged, split, found, sampled, got = registry.run(
        "t1",
        [
            Operation("create", {"content": "Ana adopted a cat. The cat is called Miro.", "source": "chat"}),
            Operation("update", {"memory_id": "m9", "content": "Ana is no longer afraid of spiders"}),
            Operation("delete", {"memory_id": "m1", "reason": "wrong"}),
            Operation("merge", {"memory_ids": ["m2", "m3"], "strategy": "concatenate"}),
            Operation("split", {"memory_id": "m10", "split_criteria": "thematic"}),
            Operation("search", {"query": "afraid of spiders", "top_k": 2}),
            Operation("sample", {"k": 3, "seed": 1}),
            Operation("get", {"memory_id": "m9"}),
        ],
    )
    assert [created.value["id"], updated.value["id"], deleted.value["id"]] == ["m10", "m9", "m1"]
    assert merged.value["id"] == "m11"
    assert len(split.value) >= 2
    assert [found.value[0]["id"], found.value[0]["text"]] == ["m9", "Ana is no longer afraid of spiders (8 May, 2023)"]
    assert found.value[0]["score"] > found.value[1]["score"]
    assert len(sampled.value) == 3
    assert got.value["content"] == "Ana is no longer afraid of spiders"
    # 9 initial, +1 created, -1 deleted, -2 +1 merged, -1 + parts split
    count = 9 + 1 - 1 - 1 - 1 + len(split.value)
    stats = registry.stats("t1")
    assert (stats["count"], stats["count_initial"], stats["mutations"]) == (count, 9, 5)
    assert stats["types"] == {"episodic": count}
    assert len(registry.list_memories("t1")) == count


def test_u21_open_is_idempotent(registry: BankRegistry) -> None:
    registry.open("t1", "conv-a")
    registry.run("t1", [Operation("delete", {"memory_id": "m1"})])
    assert registry.open("t1", "conv-a") == {"count": 8, "created": False}
    assert "m1" not in contents(registry, "t1")
    with pytest.raises(FieldError, match="'conv-a', on which 't1' is open"):
        registry.open("t1", "conv-b")


@pytest.mark.parametrize(
    "use",
    [
        lambda registry: registry.run("tpyo", [Operation("search", {"query": "x"})]),
        lambda registry: registry.stats("tpyo"),
        lambda registry: registry.list_memories("tpyo"),
        lambda registry: registry.initial_snapshot("tpyo"),
        lambda registry: registry.final_state("tpyo"),
        lambda registry: registry.evaluate("tpyo", "Who?"),
        lambda registry: registry.close("tpyo"),
    ],
)
def test_u21_a_namespace_is_opened_before_it_is_used(
    registry: BankRegistry, use: Callable[[BankRegistry], object]
) -> None:
    registry.open("typo", "conv-a")
    with pytest.raises(UnknownNamespaceError) as caught:
        use(registry)
    arrived = pickle.loads(pickle.dumps(caught.value))
    assert type(arrived) is UnknownNamespaceError
    assert str(arrived) == "namespace: 'tpyo' is not open; allowed: one that was opened and not closed yet"
    assert registry.namespaces() == ["typo"]


def test_u21_a_bad_operation_is_data_and_the_others_go_on(registry: BankRegistry) -> None:
    registry.open("t1", "conv-b")
    first, bad, last = registry.run(
        "t1",
        [
            Operation("create", {"content": "Ben has a sister"}),
            Operation("delete", {"memory_id": "m77"}),
            Operation("create", {"content": "Her name is Eva"}),
        ],
    )
    assert bad.value is None
    assert "m77" in bad.error
    assert (first.error, last.error) == ("", "")
    assert list(contents(registry, "t1")) == ["m1", "m2", first.value["id"], last.value["id"]]


def test_u21_a_final_state_replays_to_its_digest(registry: BankRegistry, memories_dir: Path) -> None:
    registry.open("t1", "conv-a")
    registry.run("t1", [Operation("delete", {"memory_id": "m4"}), Operation("create", {"content": "New"})])
    final = registry.final_state("t1")
    base = MemoryBank.from_memories(read_memories(memories_dir / "conv-a.jsonl"), HashingEmbedder())
    journal: Any = final["journal"]
    assert MemoryBank.replay(base, [Operation.from_json(record) for record in journal]).digest() == final["digest"]
    assert final["memories"] == registry.list_memories("t1")


def random_edits(rng: random.Random, known: dict[str, str]) -> Iterator[Operation]:
    """Endless creates, updates, deletes and searches, and what they do to ``known``: a model of the bank."""
    created = len(known)
    while True:
        kind = rng.choice(["create", "create", "update", "delete", "search"]) if known else "create"
        text = f"fact {rng.randrange(10**9)} about {rng.choice(['rain', 'music', 'bread'])}"
        if kind == "create":
            created += 1
            known[f"m{created}"] = text
            yield Operation("create", {"content": text})
        elif kind == "search":
            yield Operation("search", {"query": text})
        else:
            memory_id = rng.choice(sorted(known))
            if kind == "delete":
                del known[memory_id]
                yield Operation("delete", {"memory_id": memory_id})
            else:
                known[memory_id] = text
                yield Operation("update", {"memory_id": memory_id, "content": text})


def test_u19_a_thousand_interleaved_operations_of_two_trajectories_stay_apart(registry: BankRegistry) -> None:
    rng = random.Random(7)
    initial = {f"m{n}": content for n, content in enumerate(CONTENTS_A, start=1)}
    models = {"left": dict(initial), "right": dict(initial)}
    edits = {namespace: random_edits(random.Random(seed), models[namespace]) for seed, namespace in enumerate(models)}
    for namespace in models:
        registry.open(namespace, "conv-a")
    for _ in range(1000):
        namespace = rng.choice(["left", "right"])
        (outcome,) = registry.run(namespace, [next(edits[namespace])])
        assert outcome.error == ""
        if isinstance(outcome.value, list):  # a search finds what this trajectory holds, and nothing else
            assert {hit["id"]: hit["content"] for hit in outcome.value}.items() <= models[namespace].items()
    for namespace, model in models.items():
        assert contents(registry, namespace) == model
        assert [memory["content"] for memory in registry.initial_snapshot(namespace)] == CONTENTS_A
    assert models["left"] != models["right"]


def test_u22_the_initial_snapshot_outlives_edits_and_counts_agree(registry: BankRegistry) -> None:
    registry.open("t1", "conv-a")
    before = registry.initial_snapshot("t1")
    registry.run("t1", [Operation("delete", {"memory_id": f"m{n}"}) for n in range(1, 5)])
    assert registry.initial_snapshot("t1") == before
    states = registry.evaluate("t1", "Is Ana afraid of spiders?")
    assert (states["before"]["count"], states["after"]["count"]) == (9, 5)
    assert registry.stats("t1")["count"] == states["after"]["count"] == len(registry.list_memories("t1"))


def test_u22_evaluate_reads_what_the_reward_reads_of_a_bank(registry: BankRegistry, memories_dir: Path) -> None:
    edits = [Operation("delete", {"memory_id": "m9"}), Operation("create", {"content": "Ana likes spiders now"})]
    registry.open("t1", "conv-a")
    registry.run("t1", edits)
    base = MemoryBank.from_memories(read_memories(memories_dir / "conv-a.jsonl"), HashingEmbedder())
    edited = MemoryBank.replay(base, edits)
    states: Any = registry.evaluate("t1", "Is Ana afraid of spiders?", top_k=3)
    assert BankState(**states["before"]) == BankState.of(base, "Is Ana afraid of spiders?", 3)
    assert BankState(**states["after"]) == BankState.of(edited, "Is Ana afraid of spiders?", 3)


def test_u23_close_frees_its_namespace_and_no_other(registry: BankRegistry) -> None:
    for namespace in ("t1", "t2", "t3"):
        registry.open(namespace, "conv-a")
        registry.run(namespace, [Operation("create", {"content": f"written by {namespace}"})])
    registry.close("t2")
    assert registry.namespaces() == ["t1", "t3"]
    assert contents(registry, "t1")["m10"] == "written by t1"
    assert contents(registry, "t3")["m10"] == "written by t3"
    with pytest.raises(UnknownNamespaceError):
        registry.close("t2")
    assert registry.open("t2", "conv-a") == {"count": 9, "created": True}


def test_u25_only_new_content_is_embedded(registry: BankRegistry, embedder: CachingEmbedder) -> None:
    for number in range(50):
        registry.open(f"t{number}", "conv-a")
    assert embedder.computed == 9
    for number in range(50):
        registry.run(f"t{number}", [Operation("create", {"content": "the same new fact"})])
    assert embedder.computed == 9
    for number in range(50):
        registry.evaluate(f"t{number}", "What is new?")
    assert embedder.computed == 9 + 1 + 1


def test_conversations_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_conversation(tmp_path, "conv-x", ["a line\u2028separator is text", "ünïcode"])
    assert [memory.content for memory in read_memories(tmp_path / "conv-x.jsonl")] == [
        "a line\u2028separator is text",
        "ünïcode",
    ]


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "m1"}', '{"id": "m1", "content": "x", "colour": "red"}', ""])
def test_a_broken_memory_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    write_conversation(tmp_path, "conv-x", ["fine"])
    path = tmp_path / "conv-x.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"conv-x\.jsonl:2: expected a memory"):
        read_memories(path)


@pytest.mark.parametrize("sample_id", ["conv-z", "../secrets", " ", None])
def test_an_unknown_conversation_is_an_error_that_lists_the_known(registry: BankRegistry, sample_id: Any) -> None:
    with pytest.raises(FieldError, match="conv-a, conv-b"):
        registry.open("t1", sample_id)
    assert registry.namespaces() == []


def test_memories_dir_must_be_a_directory(tmp_path: Path, embedder: CachingEmbedder) -> None:
    with pytest.raises(FieldError, match="memories_dir"):
        Conversations(tmp_path / "nowhere", embedder)
