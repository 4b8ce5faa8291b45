"""Memory sampling.

Rows U14.
"""

from __future__ import annotations

import pytest
from small_bank import ChosenEmbedder

from memupdate.errors import FieldError
from memupdate.memory import Memory, MemoryBank, Operation

# Three tight groups far from each other, 5 memories each: a, b, c.
VECTORS = {
    f"{group}{number}": [10.0 if axis == place else 0.1 * number for axis in range(3)]
    for place, group in enumerate("abc")
    for number in range(5)
}


@pytest.fixture
def grouped() -> MemoryBank:
    return MemoryBank.from_memories(
        [
            Memory(f"m{number}", text, memory_type="semantic" if text.startswith("a") else "episodic")
            for number, text in enumerate(VECTORS, start=1)
        ],
        ChosenEmbedder(VECTORS | {"far": [-1.0, -1.0, -1.0]}),
    )


def test_u14_random_is_a_choice_of_the_seed(grouped: MemoryBank) -> None:
    draws = {tuple(memory.id for memory in grouped.sample(4, "random", seed=seed)) for seed in range(30)}
    assert len(draws) > 20
    assert {memory_id for draw in draws for memory_id in draw} == {memory.id for memory in grouped}
    assert all(len(set(draw)) == 4 for draw in draws)
    assert grouped.sample(4, seed=7) == grouped.fork().sample(4, "random", seed=7)


def test_u14_diverse_takes_one_of_each_group(grouped: MemoryBank) -> None:
    for seed in range(20):
        assert sorted(memory.content[0] for memory in grouped.sample(3, "diverse", seed=seed)) == ["a", "b", "c"]
        assert grouped.sample(3, "diverse", seed=seed) == grouped.sample(3, "diverse", seed=seed)
    assert len({grouped.sample(1, "diverse", seed=seed)[0].id for seed in range(20)}) > 3
    lucky = sum(
        sorted(memory.content[0] for memory in grouped.sample(3, "random", seed=seed)) == ["a", "b", "c"]
        for seed in range(20)
    )
    assert lucky < 15  # so the rule above is not chance
    grouped.create("far")
    assert all("far" in [m.content for m in grouped.sample(2, "diverse", seed=seed)] for seed in range(20))


def test_u14_diverse_sees_changed_and_deleted_memories(grouped: MemoryBank) -> None:
    for number in range(1, 6):
        grouped.delete(f"m{number}")
    assert {memory.content[0] for memory in grouped.sample(3, "diverse")} == {"b", "c"}
    grouped.update("m6", "a0")
    for seed in range(10):
        assert sorted(memory.content[0] for memory in grouped.sample(3, "diverse", seed=seed)) == ["a", "b", "c"]


def test_u14_diverse_takes_equal_memories_once_each() -> None:
    bank = MemoryBank.from_memories([Memory(f"m{n}", "a0") for n in range(6)], ChosenEmbedder(VECTORS))
    assert sorted(memory.id for memory in bank.sample(6, "diverse", seed=3)) == [f"m{n}" for n in range(6)]


def test_u14_recent_is_newest_first(grouped: MemoryBank) -> None:
    grouped.create("far")
    grouped.delete("m15")
    grouped.update("m1", "a1")
    assert [memory.id for memory in grouped.sample(3, "recent")] == ["m16", "m14", "m13"]


@pytest.mark.parametrize("strategy", ["random", "diverse", "recent"])
def test_u14_type_filter_and_more_than_there_are(grouped: MemoryBank, strategy: str) -> None:
    semantic = grouped.sample(99, strategy, memory_type="semantic")
    assert sorted(memory.id for memory in semantic) == ["m1", "m2", "m3", "m4", "m5"]
    assert len(grouped.sample(99, strategy)) == 15
    assert grouped.sample(3, strategy, memory_type="procedural") == []
    assert len(grouped.sample(strategy=strategy)) == 3
    asked = Operation("sample", {"k": 2, "strategy": strategy, "memory_type": "semantic", "seed": 5})
    assert grouped.apply(asked) == grouped.sample(2, strategy, "semantic", 5)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("k", {"k": 0}),
        ("k", {"k": 1.5}),
        ("strategy", {"strategy": "oldest"}),
        ("strategy", {"strategy": ["random"]}),
        ("memory_type", {"memory_type": "fact"}),
        ("seed", {"seed": "x"}),
    ],
)
def test_u14_a_wrong_argument_is_named(grouped: MemoryBank, field: str, arguments: dict[str, object]) -> None:
    with pytest.raises(FieldError) as error:
        grouped.sample(**arguments)  # type: ignore[arg-type]
    assert error.value.field == field
