"""What the store adds to LangGraph's promises: the same banks as the tools, clear errors, time to live, threads."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp

from memupdate.broker import MemoryBroker
from memupdate.errors import FieldError
from memupdate.integrations import MemoryBankStore, RefusedError, store_bank
from memupdate.integrations.background import wait_for
from memupdate.memory import Operation


def run(broker: MemoryBroker, bank: str, kind: str, **arguments: Any) -> Any:
    (outcome,) = wait_for(broker.run(bank, [Operation(kind, arguments)]))
    assert not outcome.error
    return outcome.value


class Clock(datetime):
    """The store's clock, which a test moves."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    monkeypatch.setattr(Clock, "ahead", timedelta())
    monkeypatch.setattr(store_bank, "datetime", Clock)
    return Clock


def test_a_trajectory_is_read_through_the_store(store: MemoryBankStore, trajectory: str) -> None:
    item = store.get((trajectory,), "m2")
    assert item is not None
    assert item.value == {
        "content": "Caroline moved from Sweden",
        "memory_type": "episodic",
        "speaker": "Caroline",
        "session": 1,
        "evidence": ["D1:3"],
    }
    hits = store.search((trajectory,), query="moved from where", limit=1)
    assert [(hit.key, hit.namespace) for hit in hits] == [("m2", (trajectory,))]
    assert store.list_namespaces() == [(trajectory,)]
    assert [item.key for item in store.search((), filter={"speaker": "Caroline"})] == ["m1", "m2", "m3"]


def test_a_tools_edit_shows_in_the_item_and_an_item_in_the_tools(store: MemoryBankStore, broker: MemoryBroker) -> None:
    store.put(("users", "ana"), "tea", {"content": "likes green tea", "cups": 2, "memory_type": "semantic"})
    bank = '["users", "ana"]'
    (hit,) = run(broker, bank, "search", query="green tea", memory_type="semantic")
    assert (hit["id"], hit["content"]) == ("tea", "likes green tea")
    run(broker, bank, "update", memory_id="tea", content="likes black tea")
    item = store.get(("users", "ana"), "tea")
    assert item is not None
    assert item.value == {"content": "likes black tea", "cups": 2, "memory_type": "semantic"}
    store.put(("users", "ana"), "dog", {"content": "has a dog"})
    merged = run(broker, bank, "merge", memory_ids=["tea", "dog"], strategy="concatenate")
    found = store.get(("users", "ana"), merged["id"])
    assert found is not None
    assert found.value["content"] == merged["content"]
    assert store.get(("users", "ana"), "tea") is None


def test_a_value_without_text_is_json_that_a_tool_may_edit(store: MemoryBankStore, broker: MemoryBroker) -> None:
    store.put(("n",), "k", {"theme": "dark", "size": 2})
    assert run(broker, "n", "get", memory_id="k")["content"] == '{"size": 2, "theme": "dark"}'
    run(broker, "n", "update", memory_id="k", content="prefers the dark theme")
    item = store.get(("n",), "k")
    assert item is not None
    assert item.value == {"content": "prefers the dark theme"}


@pytest.mark.parametrize(
    ("key", "value", "options", "field"),
    [
        ("k", {"content": "x" * 8001}, {}, "content"),
        ("k", {"other": "x" * 8001}, {}, "value"),
        ("k", {"content": "x", "other": "x" * 8001}, {}, "value"),
        ("k", {"n": float("nan")}, {}, "value"),
        ("k", {"when": datetime(2024, 1, 1, tzinfo=UTC)}, {}, "value"),
        ("k", {1: "x"}, {}, "value"),
        ("k", ["x"], {}, "value"),
        ("", {"content": "x"}, {}, "key"),
        ("k" * 8001, {"content": "x"}, {}, "key"),
        ("k", {"content": "\ud800"}, {}, "content"),
        ("k", {"content": "x"}, {"ttl": 0}, "ttl"),
        ("k", {"content": "x"}, {"ttl": -1.0}, "ttl"),
        ("k", {"content": "x"}, {"index": "content"}, "index"),
    ],
)
def test_a_batch_with_a_put_that_cannot_be_kept_writes_nothing(
    store: MemoryBankStore, key: str, value: Any, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(FieldError) as refused:
        store.batch([PutOp(("n",), "fine", {"content": "fine"}), PutOp(("n",), key, value, **options)])
    assert refused.value.field == field
    assert store.search(()) == []


def test_settings_and_arguments_that_there_are_not_are_named(broker: MemoryBroker, store: MemoryBankStore) -> None:
    with pytest.raises(FieldError, match=r"index\.embed: .* allowed: fields"):
        MemoryBankStore(broker, index={"embed": "openai:text-embedding-3-small", "dims": 3})
    with pytest.raises(FieldError, match=r"ttl\.default: .* allowed: refresh_on_read"):
        MemoryBankStore(broker, ttl={"default": 3})
    with pytest.raises(FieldError, match="limit: got -1"):
        store.search((), limit=-1)
    with pytest.raises(FieldError, match="op: "):
        store.batch(["get"])  # type: ignore[list-item]


def test_a_query_for_fields_keeps_looking_behind_other_memories(broker: MemoryBroker) -> None:
    store = MemoryBankStore(broker)
    for at in range(40):
        store.put(("n",), f"off{at}", {"content": f"green tea {at}"}, index=False)
    store.put(("n",), "on", {"content": "tea of the day"})
    assert [hit.key for hit in store.search(("n",), query="green tea", limit=3)] == ["on"]
    for at in range(40):
        store.put(("n",), f"more{at}", {"content": f"green tea {at}", "kind": "common"})
    found = store.search(("n",), query="green tea", limit=3, filter={"kind": None})
    assert [hit.key for hit in found] == ["on"]


def test_rows_of_an_overwritten_item_mean_nothing_and_go(broker: MemoryBroker) -> None:
    store = MemoryBankStore(broker, index={"fields": ["parts[*]"]})
    store.put(("n",), "k", {"parts": ["green tea", "a dog"]}, ttl=5)
    store.get(("n",), "k")
    assert len(wait_for(broker.list_memories('[0, "n"]'))) == 3
    store.put(("n",), "k", {"parts": ["rain"]})
    assert [row["content"] for row in wait_for(broker.list_memories('[0, "n"]'))] == ["rain"]
    assert [hit.score for hit in store.search(("n",), query="green tea")] == [0.0]
    store.delete(("n",), "k")
    assert wait_for(broker.list_memories('[0, "n"]')) == []


def test_expired_items_are_hidden_on_request_and_swept(broker: MemoryBroker, clock: type[Clock]) -> None:
    shown = MemoryBankStore(broker, ttl={"default_ttl": 10})
    hidden = MemoryBankStore(broker, ttl={"default_ttl": 10, "omit_expired": True})
    shown.put(("n",), "k", {"content": "green tea"})
    shown.put(("m",), "ever", {"content": "a dog"}, ttl=None)
    clock.ahead = timedelta(minutes=11)
    assert hidden.get(("n",), "k") is None
    assert [item.key for item in hidden.search(())] == [hit.key for hit in hidden.search((), query="tea")] == ["ever"]
    assert hidden.list_namespaces() == [("m",)]
    assert shown.list_namespaces() == [("m",), ("n",)]
    assert shown.get(("n",), "k", refresh_ttl=False) is not None
    assert (shown.sweep_ttl(), shown.sweep_ttl()) == (1, 0)
    assert shown.get(("n",), "k") is None


def test_a_read_prolongs_life_unless_told_otherwise(broker: MemoryBroker, clock: type[Clock]) -> None:
    store = MemoryBankStore(broker, ttl={"default_ttl": 10, "refresh_on_read": False})
    for key in ("read", "refreshed", "searched"):
        store.put((key,), key, {"content": key})
    clock.ahead = timedelta(minutes=9)
    store.get(("read",), "read")
    store.get(("refreshed",), "refreshed", refresh_ttl=True)
    store.search(("searched",), refresh_ttl=True)
    clock.ahead = timedelta(minutes=11)
    assert asyncio.run(store.asweep_ttl()) == 1
    assert [item.key for item in store.search(())] == ["refreshed", "searched"]


def test_the_sweeper_sweeps_until_it_is_stopped(broker: MemoryBroker) -> None:
    swept = threading.Event()
    store = MemoryBankStore(broker, ttl={"sweep_interval_minutes": 0.0001})

    async def sweep() -> int:
        swept.set()
        raise OSError("the broker is away")  # and the sweeper goes on

    store._sweep = sweep  # type: ignore[method-assign]
    store.start_ttl_sweeper()
    store.start_ttl_sweeper()
    for _ in range(2):
        assert swept.wait(5)
        swept.clear()
    store.stop_ttl_sweeper()
    store.stop_ttl_sweeper()


def test_synchronous_calls_work_inside_a_running_loop(store: MemoryBankStore) -> None:
    async def inside() -> Any:
        store.put(("n",), "k", {"content": "tea"})
        return store.get(("n",), "k"), await store.aget(("n",), "k")

    sync, from_loop = asyncio.run(asyncio.wait_for(inside(), 10))
    assert sync == from_loop


def test_reads_of_a_batch_see_the_state_before_its_writes(store: MemoryBankStore) -> None:
    store.put(("n",), "k", {"at": 1})
    _, item, found = store.batch([PutOp(("n",), "k", {"at": 2}), GetOp(("n",), "k"), SearchOp(("n",))])
    assert item.value == {"at": 1}  # type: ignore[union-attr]
    assert [one.value for one in found] == [{"at": 1}]  # type: ignore[union-attr]


def test_a_write_that_the_bank_refuses_is_an_error(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    from memupdate.broker import Outcome

    async def refusing(namespace: str, operations: Any) -> list[Outcome]:
        return [Outcome(error="the disk is full") for _ in operations]

    monkeypatch.setattr(broker, "run", refusing)
    with pytest.raises(RefusedError, match="get on bank 'n': the disk is full"):
        MemoryBankStore(broker).put(("n",), "k", {"content": "x"})


def test_u24_items_survive_a_restart_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    def started() -> tuple[MemoryBroker, MemoryBankStore]:
        broker = MemoryBroker(None, journal_dir=str(tmp_path / "bank"))
        return broker, MemoryBankStore(broker, index={"fields": ["parts[*]"]})

    broker, store = started()
    store.put(("users", "ana"), "k", {"parts": ["green tea", "a dog"], "n": 1}, ttl=60)
    store.put(("users", "ana"), "k", {"parts": ["black tea", "a cat"], "n": 2}, ttl=60)
    store.put(("users", "ben"), "gone", {"parts": ["rain"]})
    store.delete(("users", "ben"), "gone")
    before = store.get(("users", "ana"), "k")
    wait_for(broker.stop())
    broker, store = started()
    assert store.get(("users", "ana"), "k") == before
    assert [(hit.key, hit.score) for hit in store.search((), query="black tea")] == [("k", 1.0)]
    assert store.list_namespaces() == [("users", "ana")]
    wait_for(broker.stop())
