"""A batch of the store over several namespaces is whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import PutOp

from memupdate.broker import MemoryBroker
from memupdate.integrations import MemoryBankStore, RefusedError
from memupdate.integrations.background import relay, wait_for

NAMESPACES = [("users", "ana"), ("users", "ben"), ("log",)]


def puts(number: int) -> list[PutOp]:
    """One item in each namespace, with its own text to index, and one item less than before."""
    written = [PutOp(name, f"k{number}", {"n": number, "title": f"title {number}"}, ["title"]) for name in NAMESPACES]
    return [*written, *(PutOp(name, f"k{number - 1}", None) for name in NAMESPACES)]


def items(store: MemoryBankStore) -> list[list[tuple[str, Any]]]:
    return [[(item.key, item.value["n"]) for item in store.search(name)] for name in NAMESPACES]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_process_that_dies_after_any_record_leaves_a_batch_whole_or_not_there(
    tmp_path: Path, asynchronous: bool
) -> None:
    broker = MemoryBroker(None, journal_dir=str(tmp_path / "whole"))
    store = MemoryBankStore(broker)
    for number in range(3):
        wait_for(relay(store.abatch(puts(number)))) if asynchronous else store.batch(puts(number))
    wait_for(broker.stop())
    (file,) = (tmp_path / "whole").glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    seen = []
    for count in range(1, len(lines) + 1):
        shutil.copytree(tmp_path / "whole", tmp_path / "cut")
        (tmp_path / "cut" / file.name).write_bytes(b"".join(lines[:count]))
        cut = MemoryBroker(None, journal_dir=str(tmp_path / "cut"))
        again = MemoryBankStore(cut)
        first, *others = items(again)
        assert others == [first] * 2
        if first:  # and each item is found by its text
            assert [hit.key for hit in again.search(NAMESPACES[0], query="title", limit=1)] == [first[0][0]]
        seen.append(first)
        wait_for(cut.stop())
        shutil.rmtree(tmp_path / "cut")
    assert [first for place, first in enumerate(seen) if first not in seen[:place]] == [
        [],
        [("k0", 0)],
        [("k1", 1)],
        [("k2", 2)],
    ]


def test_a_refused_batch_leaves_no_item_and_no_text(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryBankStore(broker)
    store.batch(puts(0))
    before = {name: wait_for(broker.list_memories(name)) for name in wait_for(broker.namespaces())}

    async def refused(turns: Any) -> Any:
        raise RefusedError("log", "put", "of the test")

    with monkeypatch.context() as patched:
        patched.setattr(broker, "run_together", refused)
        with pytest.raises(RefusedError, match="of the test"):
            store.batch(puts(1))
    assert {name: wait_for(broker.list_memories(name)) for name in before} == before
    store.batch(puts(1))
    assert items(store) == [[("k1", 1)]] * 3
