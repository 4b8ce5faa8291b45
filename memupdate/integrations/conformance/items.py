"""Checks of one item: put, get, overwrite, delete, and allowed keys and values."""

from __future__ import annotations

import asyncio
from datetime import datetime

from memupdate.integrations.conformance.calls import Calls
from memupdate.integrations.conformance.check import check

IDENTITY = "PutOp.key: 'Together with the namespace, it forms a complete path to the item.'"
VALUE = "PutOp.value: 'a mapping with string keys and JSON-serializable values'"

# Characters with a special meaning in SQL's LIKE, in GLOB, in regular expressions, in JSON paths or in quoting.
SPECIAL = (
    *("%", "_", "*", "?", "[", "]", "[a]", "\\", "'", '"', "a%", "a_", "a*", "a?", "a\\"),
    *("$.a", "(a)", "a|b", "^a$"),
)
# Composed and decomposed é, an emoji of several code points, right-to-left scripts, a combining script, wide
# characters, and letters with unusual case mappings.
FOREIGN = ("caf\u00e9", "cafe\u0301", "👩‍🚀", "👩", "שלום", "سلام", "हिन्दी", "漢字", "İ", "ß", "SS")


@check("items", "BaseStore.get: 'The retrieved item'; Item: value, key, namespace, created_at, updated_at")
async def what_was_put_is_got(store: Calls) -> None:
    await store.put(("users", "ana"), "prefs", {"tea": "green", "cups": 2})
    item = await store.get(("users", "ana"), "prefs")
    assert item is not None
    assert (item.namespace, item.key, item.value) == (("users", "ana"), "prefs", {"tea": "green", "cups": 2})
    assert isinstance(item.created_at, datetime) and isinstance(item.updated_at, datetime)


@check("items", "BaseStore.get: 'or `None` if not found'")
async def what_is_not_there_is_none(store: Calls) -> None:
    await store.put(("n",), "k", {"is": 1})
    assert await store.get(("n",), "K2") is None
    assert await store.get(("m",), "k") is None
    assert await store.get(("n", "m"), "k") is None


@check("items", "BaseStore.put: 'Store or update an item'; PutOp.value: 'The data to store'")
async def an_overwrite_replaces_the_whole_value(store: Calls) -> None:
    await store.put(("n",), "k", {"old": 1, "both": 1})
    await store.put(("n",), "k", {"new": 2, "both": 2})
    item = await store.get(("n",), "k")
    assert item is not None and item.value == {"new": 2, "both": 2}
    assert await store.keys(("n",)) == ["k"]


@check("items", "Item: 'created_at: Timestamp of item creation. updated_at: Timestamp of last update.'")
async def an_overwrite_keeps_the_time_of_creation(store: Calls) -> None:
    await store.put(("n",), "k", {"at": 1})
    first = await store.get(("n",), "k")
    await asyncio.sleep(1.1)  # some stores count in seconds
    await store.put(("n",), "k", {"at": 2})
    second = await store.get(("n",), "k")
    assert first is not None and second is not None
    assert second.updated_at > first.updated_at
    assert second.created_at == first.created_at


@check("items", "BaseStore.delete: 'Delete an item.'")
async def a_delete_removes_one_item_only(store: Calls) -> None:
    for key in ("k", "k2", "K"):
        await store.put(("n",), key, {"is": key})
    await store.put(("n", "m"), "k", {"is": "below"})
    await store.delete(("n",), "k")
    assert await store.get(("n",), "k") is None
    assert await store.keys(("n",)) == ["K", "k", "k2"]  # this "k" is the item in the namespace below
    assert await store.get(("n", "m"), "k") is not None


@check("items", "PutOp.value: '`None` to mark the item for deletion'; an item that is not there is not there after it")
async def a_delete_of_nothing_is_no_error(store: Calls) -> None:
    await store.delete(("n",), "k")
    await store.put(("n",), "k", {"is": 1})
    await store.delete(("n",), "k")
    await store.delete(("n",), "k")
    assert await store.get(("n",), "k") is None


@check("items", "BaseStore.put: 'Store or update an item'")
async def a_deleted_key_can_be_put_again(store: Calls) -> None:
    await store.put(("n",), "k", {"text": "first"})
    await store.delete(("n",), "k")
    await store.put(("n",), "k", {"other": 2})
    item = await store.get(("n",), "k")
    assert item is not None and item.value == {"other": 2}


@check("items", VALUE)
async def any_json_value_comes_back_as_it_was(store: Calls) -> None:
    value = {
        "null": None,
        "flags": [True, False],
        "numbers": [0, -1, 2**53, 0.1, -1e-9, 1e300],
        "texts": ["", " ", 'it\'s 100% \\ "fine"\n', *FOREIGN],
        "nested": {"deep": [{"er": [[], {}, [None]]}]},
        "a key, with. odd $signs": "'",
    }
    for key, given in {"full": value, "empty": {}, "content": {"content": "", "text": " "}}.items():
        await store.put(("n",), key, given)
        item = await store.get(("n",), key)
        assert item is not None and item.value == given


@check("items", IDENTITY)
async def keys_with_special_characters_name_themselves_only(store: Calls) -> None:
    names = (*SPECIAL, "a", "ab", "a.b", "a/b", "../a", " a", "a ", "a\nb", "[1]", '["a"]')
    await _are_distinct(store, names)


@check("items", IDENTITY)
async def keys_differ_by_case_and_by_code_point(store: Calls) -> None:
    await _are_distinct(store, ("key", "KEY", "Key", *FOREIGN))


@check("items", IDENTITY)
async def one_key_in_two_namespaces_is_two_items(store: Calls) -> None:
    for at, namespace in enumerate([("a",), ("a", "b"), ("b",), ("a", "b", "c")]):
        await store.put(namespace, "k", {"at": at})
    await store.put(("a", "b"), "k", {"at": "new"})
    found = {item.namespace: item.value["at"] for item in await store.search((), limit=10)}
    assert found == {("a",): 0, ("a", "b"): "new", ("b",): 2, ("a", "b", "c"): 3}


async def _are_distinct(store: Calls, names: tuple[str, ...]) -> None:
    for name in names:
        await store.put(("n",), name, {"is": name})
    for name in names:
        item = await store.get(("n",), name)
        assert item is not None and (item.key, item.value) == (name, {"is": name}), f"key {name!r}"
    assert await store.keys(("n",)) == sorted(names)
    await store.delete(("n",), names[0])
    assert await store.keys(("n",)) == sorted(names[1:])
