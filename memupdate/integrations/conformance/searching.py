"""Checks of filters, pages and natural-language queries."""

from __future__ import annotations

from typing import Any

from memupdate.integrations.conformance.calls import Calls
from memupdate.integrations.conformance.check import check

FILTER = "SearchOp.filter: 'exact matches or comparison operators' ($eq, $ne, $gt, $gte, $lt, $lte)"
PAGES = "SearchOp: 'limit: Maximum number of items to return', 'offset: Number of matching items to skip'"
QUERY = "SearchOp.query: 'Natural language search query for semantic search'; SearchItem.score: 'Relevance/similarity'"
INDEX = "PutOp.index: '`False`: Disables indexing', '`list[str]`: Specifies which json path fields to index'"
ARRAYS = "PutOp.index: '\"context[*].content\" # Index content from all context as separate vectors'"


async def _fill(store: Calls, values: dict[str, Any], **options: Any) -> None:
    for key, value in values.items():
        await store.put(("n",), key, value, **options)


@check("search", FILTER)
async def a_filter_matches_exactly(store: Calls) -> None:
    await _fill(store, {"a": {"kind": "x", "n": 1}, "b": {"kind": "X", "n": 1}, "c": {"kind": "xy", "n": 2}})
    assert await store.keys(("n",), filter={"kind": "x"}) == ["a"]
    assert await store.keys(("n",), filter={"n": 1}) == ["a", "b"]
    assert await store.keys(("n",), filter={"n": 3}) == []
    assert await store.keys(("n",), filter={"kind": {"$eq": "X"}}) == ["b"]
    assert await store.keys(("n",), filter={"kind": {"$ne": "x"}}) == ["b", "c"]


@check("search", FILTER + '; its example: {"score": {"$gt": 4.99}}')
async def orderings_compare_numbers(store: Calls) -> None:
    await _fill(store, {key: {"score": score} for key, score in {"a": 4.99, "b": 5, "c": 10, "d": -1.5}.items()})
    assert await store.keys(("n",), filter={"score": {"$gt": 4.99}}) == ["b", "c"]
    assert await store.keys(("n",), filter={"score": {"$gte": 4.99}}) == ["a", "b", "c"]
    assert await store.keys(("n",), filter={"score": {"$lt": 5}}) == ["a", "d"]
    assert await store.keys(("n",), filter={"score": {"$lte": 5}}) == ["a", "b", "d"]
    assert await store.keys(("n",), filter={"score": {"$gt": 0, "$lt": 10}}) == ["a", "b"]


@check("search", 'SearchOp.filter: \'Multiple conditions\' {"score": {"$gte": 3.0}, "color": "red"}')
async def all_conditions_must_hold(store: Calls) -> None:
    await _fill(store, {"a": {"score": 3, "color": "red"}, "b": {"score": 4, "color": "blue"}, "c": {"score": 2.9}})
    assert await store.keys(("n",), filter={"score": {"$gte": 3.0}, "color": "red"}) == ["a"]


@check("search", FILTER + "; items of a namespace need not have the same fields")
async def an_item_without_the_field_is_not_found_by_it(store: Calls) -> None:
    await _fill(store, {"a": {"score": 5}, "b": {"other": 5}})
    assert await store.keys(("n",), filter={"score": 5}) == ["a"]
    assert await store.keys(("n",), filter={"score": {"$gt": 1}}) == ["a"]
    assert await store.keys(("n",), filter={"score": {"$lte": 5}}) == ["a"]


@check("search", FILTER)
async def filters_match_quotes_wildcards_lists_and_flags(store: Calls) -> None:
    values: dict[str, Any] = {"quote": "it's", "percent": "100%", "star": "*", "list": ["a", 1], "yes": True, "é": "é"}
    await _fill(store, {key: {"v": value} for key, value in values.items()})
    for key, value in values.items():
        assert await store.keys(("n",), filter={"v": value}) == [key], f"value {value!r}"


@check("search", FILTER + "; no other operator is documented")
async def an_unknown_operator_is_an_error(store: Calls) -> None:
    await _fill(store, {"a": {"score": 5}})
    try:
        await store.search(("n",), filter={"score": {"$regex": "5"}})
    except Exception:  # noqa: BLE001  the type of the error is not documented
        return
    raise AssertionError("$regex was taken")


@check("search", PAGES)
async def pages_cover_the_matches_without_repetition(store: Calls) -> None:
    await _fill(store, {f"{at:02d}": {"odd": at % 2} for at in range(23)})
    for options, keys in (({}, range(23)), ({"filter": {"odd": 1}}, range(1, 23, 2))):
        pages = [await store.search(("n",), limit=5, offset=offset, **options) for offset in range(0, 30, 5)]
        paged = [item.key for page in pages for item in page]
        assert sorted(paged) == [f"{at:02d}" for at in keys]


@check("search", "SearchOp: 'limit: int = 10'")
async def ten_items_are_returned_by_default(store: Calls) -> None:
    await _fill(store, {str(at): {"at": at} for at in range(12)})
    assert len(await store.search(("n",))) == 10
    assert len(await store.search(("n",), limit=12)) == len(await store.search(("n",), limit=99)) == 12
    assert await store.search(("n",), offset=12) == []


@check("query", QUERY)
async def the_most_similar_comes_first_with_its_score(store: Calls) -> None:
    await _fill(
        store, {"tea": {"text": "green tea"}, "both": {"text": "green tea and coffee"}, "dog": {"text": "a dog"}}
    )
    hits = await store.ranked(("n",), "green tea")
    assert [hit.key for hit in hits] == ["tea", "both", "dog"]
    scores = [hit.score for hit in hits if hit.score is not None]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert abs(scores[0] - 1.0) < 1e-3


@check("query", QUERY + "; SearchOp.namespace_prefix: 'the search scope'")
async def namespaces_below_a_prefix_are_ranked_together(store: Calls) -> None:
    await store.put(("u", "a"), "k1", {"text": "black tea"})
    await store.put(("u", "b"), "k2", {"text": "green tea"})
    await store.put(("v",), "k3", {"text": "green tea"})
    assert [hit.key for hit in await store.ranked(("u",), "green tea")] == ["k2", "k1"]


@check("query", "SearchOp: 'supports both structured filtering and natural language search'; 'limit', 'offset'")
async def filters_and_pages_apply_to_a_query(store: Calls) -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    texts = {word: {"text": " ".join(["tea", *words[:at]]), "odd": at % 2} for at, word in enumerate(words)}
    await _fill(store, texts)
    assert [hit.key for hit in await store.ranked(("n",), "tea", limit=99)] == words
    pages = [await store.ranked(("n",), "tea", limit=2, offset=offset) for offset in range(0, 9, 2)]
    assert [hit.key for page in pages for hit in page] == words
    odd = await store.ranked(("n",), "tea", limit=2, offset=1, filter={"odd": 1})
    assert [hit.key for hit in odd] == ["four", "six"]


@check("query", 'IndexConfig.fields: \'["field1", "field2"]: Embeds specific top-level fields\'')
async def only_the_configured_field_is_indexed(store: Calls) -> None:
    await _fill(store, {"note": {"text": "a dog", "note": "green tea green tea"}, "tea": {"text": "green tea, a cup"}})
    hits = await store.ranked(("n",), "green tea")
    assert [hit.key for hit in hits] == ["tea", "note"]
    assert hits[1].score is None or hits[1].score < 0.2


@check("query", INDEX)
async def an_item_can_name_other_fields_to_index(store: Calls) -> None:
    await store.put(("n",), "title", {"text": "a dog", "title": "green tea"}, index=["title"])
    await store.put(("n",), "text", {"text": "tea of the day", "title": "a dog"})
    hits = await store.ranked(("n",), "green tea")
    assert hits[0].key == "title"


@check("query", INDEX + "; BaseStore.put: 'Still accessible through `get()` and `search()`'")
async def an_item_that_is_not_indexed_has_no_score_and_stays_accessible(store: Calls) -> None:
    await store.put(("n",), "off", {"text": "green tea"}, index=False)
    await store.put(("n",), "on", {"text": "tea of the day"})
    hits = await store.ranked(("n",), "green tea")
    assert hits[0].key == "on"
    assert all(hit.score is None for hit in hits if hit.key == "off")
    assert await store.keys(("n",)) == ["off", "on"]
    assert await store.get(("n",), "off") is not None


@check("query", ARRAYS)
async def elements_of_a_list_are_indexed_each_by_itself(store: Calls) -> None:
    parts = [{"content": content} for content in ("a dog in the park", "green tea", "rain in Oslo")]
    await store.put(("n",), "parts", {"text": "", "context": parts}, index=["context[*].content"])
    await store.put(("n",), "plain", {"text": "green tea, two cups"})
    hits = await store.ranked(("n",), "green tea")
    assert [hit.key for hit in hits] == ["parts", "plain"]
    assert hits[0].score is not None and abs(hits[0].score - 1.0) < 1e-3


@check("query", PAGES + " (items, however many vectors they have)")
async def an_item_with_many_vectors_takes_one_place(store: Calls) -> None:
    parts = [f"green tea {word}" for word in ("cup", "pot", "leaf", "bag", "shop", "house")]
    await store.put(("n",), "many", {"text": "", "parts": parts}, index=["parts[*]"])
    for key in ("a", "b"):
        await store.put(("n",), key, {"text": f"tea of the {key} day in the old town"})
    assert [hit.key for hit in await store.ranked(("n",), "green tea", limit=3)] == ["many", "a", "b"]


@check("query", QUERY + "; PutOp.value: 'The data to store'")
async def an_overwrite_is_found_by_its_new_text_only(store: Calls) -> None:
    await _fill(store, {"k": {"text": "green tea"}, "other": {"text": "tea of the day"}})
    await _fill(store, {"k": {"text": "a dog"}})
    hits = await store.ranked(("n",), "green tea")
    assert hits[0].key == "other"
    await store.delete(("n",), "other")
    assert "other" not in [hit.key for hit in await store.ranked(("n",), "green tea")]


@check("query", "SearchOp.query: any text")
async def a_query_may_be_any_text(store: Calls) -> None:
    await _fill(store, {"k": {"text": "שלום 漢字 café"}})
    for query in ("'; DROP TABLE store; --", "100% *", "👩‍🚀", "שלום", "a\nb", "x" * 4000):
        assert [hit.key for hit in await store.search(("n",), query=query)] == ["k"], f"query {query!r:.40}"
