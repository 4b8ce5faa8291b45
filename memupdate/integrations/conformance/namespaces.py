"""Checks of namespaces: which ones a search visits, and which ones are allowed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import cast

from langgraph.store.base import GetOp, InvalidNamespaceError, SearchOp

from memupdate.integrations.conformance.calls import Calls, Namespace
from memupdate.integrations.conformance.check import check
from memupdate.integrations.conformance.items import FOREIGN, SPECIAL

PREFIX = "SearchOp.namespace_prefix: 'Hierarchical path prefix defining the search scope' (a path, without wildcards)"
LABELS = "PutOp.namespace: 'Each element in the tuple represents one level in the hierarchy.'"
READS = "GetOp: 'Operation to retrieve'; SearchOp: 'to search'; only PutOp is 'to store, update, or delete'"


async def fill(store: Calls, namespaces: Sequence[Namespace]) -> None:
    """Puts one item into each namespace."""
    for namespace in namespaces:
        await store.put(namespace, "k", {"in": list(namespace)})


async def found(store: Calls, prefix: Namespace) -> set[Namespace]:
    """Returns the namespaces of the items that a search finds. Each item must be the one that ``fill`` put there."""
    items = await store.search(prefix, limit=1000)
    assert all(item.value == {"in": list(item.namespace)} for item in items)
    assert len({item.namespace for item in items}) == len(items)
    return {item.namespace for item in items}


@check("namespaces", PREFIX)
async def a_search_finds_the_namespace_and_those_below(store: Calls) -> None:
    await fill(store, [("a",), ("a", "b"), ("a", "b", "c"), ("b",), ("b", "a")])
    assert await found(store, ("a",)) == {("a",), ("a", "b"), ("a", "b", "c")}
    assert await found(store, ("a", "b")) == {("a", "b"), ("a", "b", "c")}
    assert await found(store, ("c",)) == set()


@check("namespaces", LABELS)
async def a_search_ends_at_the_border_of_a_label(store: Calls) -> None:
    await fill(store, [("a", "b"), ("a", "b", "c"), ("a", "bc"), ("ab",), ("ab", "c"), ("a", "b c"), ("a", "b-c")])
    assert await found(store, ("a", "b")) == {("a", "b"), ("a", "b", "c")}
    assert await found(store, ("a",)) == {("a", "b"), ("a", "b", "c"), ("a", "bc"), ("a", "b c"), ("a", "b-c")}
    assert await found(store, ("ab",)) == {("ab",), ("ab", "c")}


@check("namespaces", "SearchOp.namespace_prefix: '()  # Search entire store'")
async def an_empty_prefix_searches_everything(store: Calls) -> None:
    everything = [("a",), ("a", "b"), ("b", "c", "d"), ("%",)]
    await fill(store, everything)
    assert await found(store, ()) == set(everything)


@check("namespaces", PREFIX)
async def special_characters_in_a_prefix_match_themselves_only(store: Calls) -> None:
    labels = [*SPECIAL, "a", "ab", "abc", "a1", "b"]
    labels = [label for label in labels if "." not in label]
    await fill(store, [(label,) for label in labels] + [("in", label, "x") for label in labels])
    for label in labels:
        assert await found(store, (label,)) == {(label,)}, f"label {label!r}"
        assert await found(store, ("in", label)) == {("in", label, "x")}, f"label {label!r}"


@check("namespaces", LABELS)
async def labels_differ_by_case_and_by_code_point(store: Calls) -> None:
    labels = ["user", "USER", "User", *FOREIGN]
    await fill(store, [(label, "x") for label in labels])
    for label in labels:
        assert await found(store, (label,)) == {(label, "x")}, f"label {label!r}"
        item = await store.get((label, "x"), "k")
        assert item is not None and item.namespace == (label, "x")
    assert sorted(await store.list_namespaces()) == sorted((label, "x") for label in labels)


@check("namespaces", LABELS)
async def labels_that_look_like_encodings_stay_apart(store: Calls) -> None:
    apart: list[Namespace] = [
        ("a", "b"),
        ('["a", "b"]',),
        ('["a","b"]',),
        ("a/b",),
        ("a:b",),
        ("a|b",),
        ("a,b",),
        ("a\x1fb",),
    ]
    await fill(store, apart)
    for namespace in apart:
        assert await found(store, namespace) == {namespace}


@check("namespaces", READS)
async def reads_create_nothing(store: Calls) -> None:
    await store.put(("there",), "k", {"is": 1})
    assert await store.get(("a", "b"), "k") is None
    assert await store.search(("c",)) == []
    assert await store.search(("d",), query="anything", filter={"x": 1}) == []
    assert await store.batch([GetOp(("e",), "k"), SearchOp(("f",))]) == [None, []]
    assert await store.list_namespaces() == [("there",)]


@check("namespaces", "PutOp.value: '`None` to mark the item for deletion'; no item, no namespace")
async def a_delete_of_nothing_creates_nothing(store: Calls) -> None:
    await store.delete(("a", "b"), "k")
    assert await store.list_namespaces() == []


@check(
    "namespaces",
    "BaseStore.put: 'InvalidNamespaceError: If the namespace is empty, its root label is \"langgraph\", …'",
)
async def a_put_refuses_invalid_namespaces(store: Calls) -> None:
    invalid: list[tuple[object, ...]] = [
        (),
        ("",),
        ("a", ""),
        ("a.b",),
        ("a", "b.c"),
        ("langgraph",),
        ("langgraph", "x"),
        ("a", 1),
    ]
    for namespace in invalid:
        refused = False
        try:
            await store.put(cast("Namespace", namespace), "k", {"is": 1})
        except InvalidNamespaceError:
            refused = True
        assert refused, f"{namespace!r} was taken"
    assert await store.list_namespaces() == []


@check(
    "namespaces", 'validate_op_namespace: \'so a label such as "foo.bar" cannot address the namespace ("foo", "bar")\''
)
async def a_period_in_a_direct_operation_reaches_no_other_namespace(store: Calls) -> None:
    await store.put(("foo", "bar"), "k", {"is": 1})
    with contextlib.suppress(InvalidNamespaceError):  # a refusal is allowed too
        assert await store.batch([GetOp(("foo.bar",), "k")]) == [None]
    with contextlib.suppress(InvalidNamespaceError):
        assert await store.batch([SearchOp(("foo.bar",))]) == [[]]
