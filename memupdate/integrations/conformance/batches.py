"""Checks of several operations in one call."""

from __future__ import annotations

from langgraph.store.base import GetOp, Item, ListNamespacesOp, Op, PutOp, SearchOp

from memupdate.integrations.conformance.calls import Calls
from memupdate.integrations.conformance.check import check

ORDER = "BaseStore.batch: 'The order of results matches the order of input operations.'"
SEVERAL = "BaseStore.batch: 'Execute multiple operations'; PutOp: 'store, update, or delete an item'"


@check("batch", ORDER)
async def results_are_in_the_order_of_the_operations(store: Calls) -> None:
    for key in "abc":
        await store.put(("n",), key, {"is": key})
    ops: list[Op] = [
        GetOp(("n",), "c"),
        SearchOp(("n",), filter={"is": "b"}),
        PutOp(("n",), "d", {"is": "d"}),
        GetOp(("n",), "missing"),
        ListNamespacesOp(),
        GetOp(("n",), "a"),
        GetOp(("m",), "a"),
        GetOp(("n",), "b"),
    ]
    answers = await store.batch(ops)
    assert len(answers) == len(ops)
    first, found, put, missing, namespaces, second, elsewhere, third = answers
    assert isinstance(first, Item) and isinstance(second, Item) and isinstance(third, Item)
    assert [item.key for item in (first, second, third)] == ["c", "a", "b"]
    assert isinstance(found, list) and [getattr(item, "key", None) for item in found] == ["b"]
    assert (put, missing, elsewhere) == (None, None, None)
    assert namespaces == [("n",)]


@check("batch", "BaseStore.batch: 'A list of results, where each result corresponds to an operation in the input'")
async def no_operations_have_no_results(store: Calls) -> None:
    assert await store.batch([]) == []


@check("batch", "BaseStore.batch: 'ops: An iterable of operations'")
async def operations_may_come_from_a_generator(store: Calls) -> None:
    assert await store.batch(PutOp(("n",), key, {"is": key}) for key in "ab") == [None, None]
    assert await store.keys(("n",)) == ["a", "b"]


@check("batch", SEVERAL)
async def of_several_puts_of_a_key_the_last_counts(store: Calls) -> None:
    assert await store.batch([PutOp(("n",), "k", {"at": at}) for at in range(3)]) == [None] * 3
    item = await store.get(("n",), "k")
    assert item is not None and item.value == {"at": 2}


@check("batch", SEVERAL)
async def put_and_delete_of_a_key_count_in_order(store: Calls) -> None:
    await store.batch([PutOp(("n",), "gone", {"at": 1}), PutOp(("n",), "gone", None)])
    await store.batch([PutOp(("n",), "kept", None), PutOp(("n",), "kept", {"at": 2})])
    assert await store.keys(("n",)) == ["kept"]


@check("batch", "GetOp: 'retrieve a specific item by its namespace and key'")
async def the_same_item_may_be_asked_for_twice(store: Calls) -> None:
    await store.put(("n",), "k", {"is": 1})
    first, second = await store.batch([GetOp(("n",), "k"), GetOp(("n",), "k")])
    assert isinstance(first, Item) and isinstance(second, Item)
    assert first.value == second.value == {"is": 1}
