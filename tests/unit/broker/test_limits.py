"""Whatever a broker acknowledges, every reader can read. What a reader could not read is refused when it is written."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from memupdate.broker import MemoryBroker
from memupdate.broker.wire import decode_outcomes, decode_turn, encode_outcomes, encode_turn
from memupdate.errors import FieldError
from memupdate.memory import HashingEmbedder, Memory, MemoryBank, Operation
from memupdate.memory.record import MAX_NESTING


def nested(levels: int, *, lists: bool = False) -> Any:
    """Returns a value with this many levels, of objects or of lists."""
    value: Any = "inside"
    for _ in range(levels):
        value = [value] if lists else {"a": value}
    return value


def create(levels: int) -> Operation:
    return Operation("create", {"content": "x", "metadata": {"a": nested(levels - 1, lists=True)}}, key="k")


def test_the_deepest_value_is_read_back_from_the_wire_the_journal_and_json(tmp_path: Path) -> None:
    operation = create(MAX_NESTING)

    async def scenario() -> None:
        broker = MemoryBroker(None, journal_dir=str(tmp_path))
        await broker.open("n")
        _, arrived = decode_turn(encode_turn("n", [operation]))
        outcomes = decode_outcomes(encode_outcomes(await broker.run("n", arrived)))
        await broker.stop()
        again = MemoryBroker(None, journal_dir=str(tmp_path))
        (read,) = await again.list_memories("n")
        await again.stop()
        assert read["metadata"] == outcomes[0].memory["metadata"] == operation.arguments["metadata"]
        assert json.loads(json.dumps(read)) == read

    asyncio.run(scenario())


@pytest.mark.parametrize("levels", [MAX_NESTING + 1, 500, 940, 3000])
def test_a_deeper_value_is_refused_by_name_and_the_error_can_be_shown_and_sent(levels: int) -> None:
    bank = MemoryBank.from_memories([], HashingEmbedder())
    refused = [
        lambda: create(levels),
        lambda: bank.create("x", metadata=nested(levels)),
        lambda: bank.put("id", "x", metadata=nested(levels)),
        lambda: Memory.from_json({"id": "a", "content": "x", "metadata": nested(levels)}),
    ]
    for attempt in refused:
        with pytest.raises(FieldError) as caught:
            attempt()
        assert caught.value.field == "metadata"
        assert "got 'a value with more levels'; allowed: lists and objects nested at most 64 levels" in str(
            caught.value
        )
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(FieldError, match=r"evidence: .*at most 64 levels"):
        Operation("create", {"content": "x", "evidence": nested(levels, lists=True)})
    with pytest.raises(FieldError, match=r"bogus: .*at most 64 levels"):
        Operation("create", {"content": "x", "bogus": nested(levels)})
    assert len(bank) == 0


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    with pytest.raises(FieldError, match="at most 64 levels"):
        Operation("create", {"content": "x", "metadata": {"a": loop}})


def test_a_journal_of_a_version_without_the_limit_can_be_read(tmp_path: Path) -> None:
    deep = {"content": "x", "metadata": nested(200)}

    async def scenario() -> None:
        broker = MemoryBroker(None, journal_dir=str(tmp_path))
        await broker.open("n")
        await broker.run("n", [Operation.checked_before("create", deep, "k")])
        await broker.stop()
        again = MemoryBroker(None, journal_dir=str(tmp_path))
        assert (await again.list_memories("n"))[0]["metadata"] == deep["metadata"]
        await again.stop()

    asyncio.run(scenario())


def test_a_name_that_is_too_long_cannot_be_opened_and_every_reasonable_name_can() -> None:
    async def scenario() -> None:
        broker = MemoryBroker(None)
        kept = ["conv-26-qa159-4f01449a", "[draft] notes", "[" * 1000, "a/b.c d", "ü" * 1024, '["a", "b"]', "*", " "]
        for name in kept:
            await broker.open(name)
        for name in ("[" * 3000, "n" * 1025):
            with pytest.raises(FieldError, match=r"namespace: .*at most 1,024 characters"):
                await broker.open(name)
            with pytest.raises(FieldError, match=r"namespace: .*at most 1,024 characters"):
                await broker.fork(name, kept[0])
        assert await broker.namespaces() == kept

    asyncio.run(scenario())
