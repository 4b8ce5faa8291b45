"""What the store accepts, it lists and reads; what could not be read is refused when it is put."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import PutOp

from memupdate.broker import MemoryBroker
from memupdate.errors import FieldError
from memupdate.integrations import MemoryBankStore
from memupdate.integrations.background import wait_for
from memupdate.memory import Operation


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("content", [{}, {"content": "text"}])
def test_a_value_is_read_back_up_to_the_limit_and_refused_above_it(
    store: MemoryBankStore, content: dict[str, str]
) -> None:
    deepest = {"a": nested(61), **content}
    store.put(("n",), "k", deepest)
    item = store.get(("n",), "k")
    assert item is not None
    assert item.value == deepest
    for levels in (63, 500, 940, 3000):
        with pytest.raises(FieldError, match=r"value: got 'a value with more levels'; .*at most 62 levels"):
            store.batch([PutOp(("n",), "other", {"b": 1}), PutOp(("n",), "k", {"a": nested(levels - 1), **content})])
    assert [item.value for item in store.search(("n",))] == [deepest]


@pytest.mark.parametrize("levels", [100, 940, 3900])
def test_content_that_a_tool_turned_into_deep_json_is_text(
    store: MemoryBankStore, broker: MemoryBroker, levels: int
) -> None:
    store.put(("n",), "k", {"title": "no text"})
    deep = '{"a":' + "[" * levels + "]" * levels + "}"
    wait_for(broker.run("n", [Operation("update", {"memory_id": "k", "content": deep})]))
    (item,) = store.search(("n",))
    assert item.value == {"content": deep}


def test_names_that_would_break_the_listing_cannot_be_put_and_do_not_break_it(
    store: MemoryBankStore, broker: MemoryBroker
) -> None:
    wait_for(broker.open("[" * 1000))  # a bank that is no store's
    store.put(("users", "ana"), "k", {"content": "x"})
    for namespace in (("[" * 3000,), ("a", "n" * 1024), ("n" * 1024,)):
        with pytest.raises(FieldError, match=r"namespace: .*at most 1,0"):
            store.batch([PutOp(("other",), "k", {"content": "y"}), PutOp(namespace, "k", {"content": "x"})])
    assert store.list_namespaces() == [("users", "ana")]
    assert [item.namespace for item in store.search(())] == [("users", "ana")]
