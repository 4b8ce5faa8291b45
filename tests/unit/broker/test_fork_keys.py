"""A fork does not have its parent's idempotency keys: the same key in both banks takes effect in both."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memupdate.broker import MemoryBroker, Outcome
from memupdate.errors import FieldError
from memupdate.memory import HashingEmbedder, MemoryBank, Operation


def create(content: str, key: str) -> Operation:
    return Operation("create", {"content": content}, key=key)


def contents(bank: MemoryBank) -> list[str]:
    return [memory.content for memory in bank]


def test_the_same_operation_and_key_take_effect_in_parent_and_fork() -> None:
    parent = MemoryBank.from_memories([], HashingEmbedder())
    parent.apply(create("Ana plays the cello", "k"))
    fork = parent.fork()
    assert not fork.has_applied("k")
    for _ in range(2):  # the second delivery to each bank changes nothing
        fork.apply(create("Ana plays the cello", "k"))
        parent.apply(create("Ana plays the cello", "k"))
    assert contents(parent) == ["Ana plays the cello"]
    assert contents(fork) == ["Ana plays the cello"] * 2
    with pytest.raises(FieldError, match="another create"):
        fork.apply(create("something else", "k"))


def test_the_journal_of_a_fork_that_used_a_key_of_its_parent_can_be_replayed() -> None:
    base = MemoryBank.from_memories([], HashingEmbedder())
    parent = base.fork()
    parent.apply(create("one", "k"))
    fork = parent.fork()
    assert [operation.key for operation in fork.journal] == [""]
    fork.apply(create("two", "k"))
    assert [operation.key for operation in fork.journal] == ["", "k"]
    assert [operation.key for operation in parent.journal] == ["k"]
    again = MemoryBank.replay(base, fork.journal)
    assert again.digest() == fork.digest()
    assert contents(again) == ["one", "two"]


@pytest.mark.parametrize("across_shards", [False, True])
def test_a_durable_fork_uses_its_parents_key_and_keeps_the_effect_after_a_restart(
    tmp_path: Path, across_shards: bool
) -> None:
    async def run(broker: MemoryBroker, namespace: str, content: str) -> Outcome:
        (outcome,) = await broker.run(namespace, [create(content, "k")])
        return outcome

    async def scenario() -> None:
        origin = MemoryBroker(None, journal_dir=str(tmp_path / "a"))
        other = MemoryBroker(None, journal_dir=str(tmp_path / "b")) if across_shards else origin
        await origin.open("parent")
        await run(origin, "parent", "one")
        if across_shards:
            await other.adopt("fork", "parent", await origin.recipe("parent"))
        else:
            await origin.fork("fork", "parent")
        assert (await run(other, "fork", "two")).memory["id"] == "m2"
        assert (await run(other, "fork", "two")).memory["id"] == "m2"
        before = await other.final_state("fork")
        assert [memory["content"] for memory in before["memories"]] == ["one", "two"]
        await origin.stop()
        if across_shards:
            await other.stop()
        again = MemoryBroker(None, journal_dir=str(tmp_path / ("b" if across_shards else "a")))
        assert await again.final_state("fork") == before
        assert (await run(again, "fork", "two")).memory["id"] == "m2"
        await again.stop()

    asyncio.run(scenario())
