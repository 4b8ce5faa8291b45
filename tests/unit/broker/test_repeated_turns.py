"""A turn that is sent again gets the answers that it got, or would have got, the first time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from memupdate.broker import MemoryBroker, Outcome
from memupdate.broker.actor import BrokerShard
from memupdate.broker.wire import decode_outcomes, encode_turn
from memupdate.memory import Operation


def put(content: str, key: str) -> Operation:
    return Operation("put", {"memory_id": "a", "content": content}, key)


GET = Operation("get", {"memory_id": "a"})
TURN = [
    GET,
    Operation("delete", {"memory_id": "late"}, "k0"),
    put("first", "k1"),
    GET,
    put("second", "k2"),
    Operation("search", {"query": "first"}),
    Operation("create", {"content": "new"}, "k3"),
]
LATER = [put("of another", "l1"), Operation("put", {"memory_id": "late", "content": "kept"}, "l2")]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("namespace", ["n", "fork"])
def test_reads_and_refusals_of_a_repeated_turn_are_those_of_the_first_time(
    tmp_path: Path, restarted: bool, namespace: str
) -> None:
    async def scenario() -> None:
        broker = MemoryBroker(None, journal_dir=str(tmp_path))
        await broker.open("n")
        await broker.run("n", [put("old", "k")])
        await broker.fork("fork", "n")
        first = await broker.run(namespace, TURN)
        await broker.run(namespace, LATER)
        before = await broker.final_state(namespace)
        if restarted:
            await broker.stop()
            broker = MemoryBroker(None, journal_dir=str(tmp_path))
        assert await broker.run(namespace, TURN) == first
        assert [outcome.memory["content"] for outcome in (first[0], first[3])] == ["old", "first"]
        assert await broker.final_state(namespace) == before
        assert await broker.run_together({namespace: TURN[2:]}) == {namespace: first[2:]}
        await broker.stop()

    asyncio.run(scenario())


def test_the_shard_of_the_actor_repeats_a_turn_too(tmp_path: Path) -> None:
    shard = BrokerShard(None, journal_dir=str(tmp_path))
    shard.call(1, MemoryBroker.open, "n")

    def run(operations: list[Operation]) -> list[Outcome]:
        return decode_outcomes(shard.run_encoded(1, encode_turn("n", operations)))

    first = run(TURN)
    run(LATER)
    assert run(TURN) == first


def test_a_new_turn_with_an_old_operation_in_it_applies_what_is_new() -> None:
    async def scenario() -> None:
        broker = MemoryBroker(None)
        await broker.open("n")
        await broker.run("n", TURN)
        *_, created, read = await broker.run("n", [TURN[2], Operation("create", {"content": "newer"}, "k4"), GET])
        assert created.memory["id"] == "m2"
        assert read.memory["content"] == "second"

    asyncio.run(scenario())


def test_a_turn_with_keys_of_other_operations_is_no_repeated_turn() -> None:
    async def scenario() -> None:
        broker = MemoryBroker(None)
        await broker.open("n")
        await broker.run("n", [put("first", "k1"), put("second", "k2")])
        before = await broker.final_state("n")
        outcomes = await broker.run("n", [put("other", "k1"), put("second", "k2")])
        assert [outcome.error[: outcome.error.find(";")] for outcome in outcomes] == ["key: got 'k1'", ""]
        assert await broker.final_state("n") == before

    asyncio.run(scenario())
