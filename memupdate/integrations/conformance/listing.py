"""Checks of ``list_namespaces``."""

from __future__ import annotations

from memupdate.integrations.conformance.calls import Calls
from memupdate.integrations.conformance.check import check
from memupdate.integrations.conformance.items import SPECIAL
from memupdate.integrations.conformance.namespaces import fill

MATCH = "MatchCondition: 'prefix' matches from the start of the namespace, 'suffix' from its end, label by label"
WILDCARD = 'NamespacePath: \'("cache", "*", "v1")  # Any cache category with v1 version\''
DEPTH = "ListNamespacesOp.max_depth: 'Namespaces deeper than this level will be truncated.'"


@check("list_namespaces", "BaseStore.list_namespaces: 'A list of namespace tuples'; each once")
async def every_namespace_is_listed_once(store: Calls) -> None:
    await fill(store, [("b",), ("a", "b"), ("a",)])
    await store.put(("a",), "k2", {"is": 2})
    listed = await store.list_namespaces()
    assert sorted(listed) == [("a",), ("a", "b"), ("b",)]
    assert all(isinstance(namespace, tuple) for namespace in listed)


@check("list_namespaces", 'BaseStore.list_namespaces: its example with prefix ("a", "b") and max_depth 3')
async def the_documented_example_holds(store: Calls) -> None:
    await fill(store, [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f"), ("a", "c", "f")])
    listed = await store.list_namespaces(prefix=("a", "b"), max_depth=3)
    assert listed == [("a", "b", "c"), ("a", "b", "d"), ("a", "b", "f")]


@check("list_namespaces", MATCH)
async def a_prefix_ends_at_the_border_of_a_label(store: Calls) -> None:
    await fill(store, [("a", "b"), ("a", "bc"), ("ab",), ("a", "b", "c"), ("A", "b")])
    assert sorted(await store.list_namespaces(prefix=("a", "b"))) == [("a", "b"), ("a", "b", "c")]
    assert await store.list_namespaces(prefix=("ab",)) == [("ab",)]


@check("list_namespaces", MATCH)
async def a_suffix_starts_at_the_border_of_a_label(store: Calls) -> None:
    await fill(store, [("x", "v1"), ("x", "y", "v1"), ("v1",), ("x", "av1"), ("v1", "x"), ("x", "V1")])
    assert sorted(await store.list_namespaces(suffix=("v1",))) == [("v1",), ("x", "v1"), ("x", "y", "v1")]
    assert await store.list_namespaces(suffix=("y", "v1")) == [("x", "y", "v1")]


@check("list_namespaces", WILDCARD)
async def a_star_stands_for_one_label(store: Calls) -> None:
    await fill(store, [("cache", "x", "v1"), ("cache", "v1"), ("cache", "x", "y", "v1"), ("cache", "x", "v1", "z")])
    assert sorted(await store.list_namespaces(prefix=("cache", "*", "v1"))) == [
        ("cache", "x", "v1"),
        ("cache", "x", "v1", "z"),
    ]
    assert sorted(await store.list_namespaces(suffix=("x", "*", "v1"))) == [("cache", "x", "y", "v1")]
    assert sorted(await store.list_namespaces(prefix=("*", "v1"))) == [("cache", "v1")]


@check("list_namespaces", WILDCARD + '; nothing but "*" is said to be special')
async def other_special_characters_match_themselves_only(store: Calls) -> None:
    labels = [label for label in (*SPECIAL, "a", "ab", "abc", "b") if "." not in label and label != "*"]
    await fill(store, [(label, "x", label) for label in labels])
    for label in labels:
        assert await store.list_namespaces(prefix=(label,)) == [(label, "x", label)], f"label {label!r}"
        assert await store.list_namespaces(suffix=(label,)) == [(label, "x", label)], f"label {label!r}"


@check(
    "list_namespaces",
    'ListNamespacesOp.match_conditions: \'All namespaces that start with "docs" and end with "draft"\'',
)
async def prefix_and_suffix_must_both_match(store: Calls) -> None:
    await fill(store, [("docs", "a", "draft"), ("docs", "draft"), ("docs", "a"), ("a", "draft")])
    both = await store.list_namespaces(prefix=("docs",), suffix=("draft",))
    assert sorted(both) == [("docs", "a", "draft"), ("docs", "draft")]


@check("list_namespaces", DEPTH)
async def truncated_namespaces_are_listed_once(store: Calls) -> None:
    await fill(store, [("a", "b", "c"), ("a", "b", "d"), ("a", "e"), ("f",)])
    assert sorted(await store.list_namespaces(max_depth=1)) == [("a",), ("f",)]
    assert sorted(await store.list_namespaces(max_depth=2)) == [("a", "b"), ("a", "e"), ("f",)]
    assert len(await store.list_namespaces(max_depth=9)) == 4


@check(
    "list_namespaces", "ListNamespacesOp: 'limit: Maximum number of namespaces', 'offset: Number of namespaces to skip'"
)
async def pages_cover_the_list(store: Calls) -> None:
    everything = [("n", f"{at:02d}") for at in range(7)]
    await fill(store, everything)
    pages = [await store.list_namespaces(limit=3, offset=offset) for offset in (0, 3, 6, 9)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert sorted(namespace for page in pages for namespace in page) == everything
    assert [len(await store.list_namespaces(max_depth=2, limit=4, offset=offset)) for offset in (0, 4)] == [4, 3]
