"""The protocol of a broker: the service in this process and the client answer the same calls in the same way."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest
from in_process_broker import in_process_client

from memupdate.broker import BankService, MemoryBroker, MemoryStoreManager, Refusal, UnknownNamespaceError
from memupdate.broker.registry import OpenBank
from memupdate.broker.results import MemoryRecord
from memupdate.memory import Memory, Operation


def longest(opened: OpenBank) -> str:
    """A question of a caller's own."""
    return max((memory.content for memory in opened.bank), key=len)


async def everything(banks: BankService) -> list[object]:
    """Every call of the protocol, and what it answers."""
    operations = [
        Operation("delete", {"memory_id": "m1"}),
        Operation("delete", {"memory_id": "m99"}),
        Operation("search", {"query": " "}),
    ]
    answers: list[object] = [
        await banks.open("t1", "conv-b", key="k"),
        await banks.open("t1", "conv-b", key="k"),
        await banks.open("t1", "conv-b"),
        [(one.error, one.refusal) for one in await banks.run("t1", operations)],
        await banks.fork("t2", "t1"),
        await banks.evaluate("t2", "Where does Ben live?", top_k=1),
        await banks.stats("t2"),
        await banks.list_memories("t2"),
        await banks.initial_snapshot("t2"),
        (await banks.final_state("t2"))["digest"],
        await banks.read("t2", longest),
        await banks.namespaces(),
        (await banks.ping())["namespaces"],
        await banks.close("t1"),
        await banks.namespaces(),
    ]
    for wrong in (banks.stats, banks.list_memories, banks.initial_snapshot, banks.final_state, banks.close):
        with pytest.raises(UnknownNamespaceError):
            await wrong("t1")
    return answers


def test_the_service_and_the_client_answer_every_call_alike(memories_dir: Path) -> None:
    async def both() -> list[list[object]]:
        return [await everything(MemoryBroker(str(memories_dir))), await everything(in_process_client(memories_dir))]

    here, over_the_client = asyncio.run(both())
    assert here == over_the_client
    opened, again, other, refusals = here[:4]
    assert [opened, again, other] == [
        {"count": 2, "created": True},
        {"count": 2, "created": True},
        {"count": 2, "created": False},
    ]
    assert refusals == [
        ("", None),
        ("memory_id: 'm99' is not in the bank; allowed: an id that search_memory returned", Refusal.UNKNOWN_MEMORY),
        ("query: got ' '; allowed: text that is not empty", Refusal.NOT_ALLOWED),
    ]
    assert here[10] == "Ben moved to Oslo in 2019"


@pytest.mark.parametrize("kind", [MemoryBroker, MemoryStoreManager])
def test_a_call_has_the_same_arguments_everywhere(kind: type[BankService]) -> None:
    for name, call in inspect.getmembers(BankService, inspect.isfunction):
        assert inspect.signature(getattr(kind, name)) == inspect.signature(call), name


def test_every_call_is_documented_once() -> None:
    for name, call in inspect.getmembers(BankService, inspect.isfunction):
        assert call.__doc__, name
        assert inspect.getdoc(getattr(MemoryStoreManager, name)) == inspect.getdoc(call)


def test_a_record_has_the_fields_of_a_memory() -> None:
    assert list(MemoryRecord.__annotations__) == [*Memory.__slots__, "text", "score"]
