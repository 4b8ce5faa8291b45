"""LangMem's two tools on the store, unchanged: given the store, and taking it from a running graph."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from langgraph.func import entrypoint
from langmem import create_manage_memory_tool, create_search_memory_tool
from pydantic import BaseModel

from memupdate.integrations import MemoryBankStore


def made_id(reply: str) -> str:
    found = re.fullmatch(r"created memory ([0-9a-f-]{36})", reply)
    assert found, reply
    return found[1]


@pytest.mark.parametrize("face", ["invoke", "ainvoke"])
def test_the_tools_create_find_update_and_delete(store: MemoryBankStore, face: str) -> None:
    manage = create_manage_memory_tool(namespace=("memories",), store=store)
    search = create_search_memory_tool(namespace=("memories",), store=store)

    def ask(tool: Any, **arguments: Any) -> str:
        return tool.invoke(arguments) if face == "invoke" else asyncio.run(tool.ainvoke(arguments))

    key = made_id(ask(manage, content="Ana drinks green tea", action="create"))
    made_id(ask(manage, content="Ana has a dog"))
    (best, other) = json.loads(ask(search, query="which tea"))
    assert (best["key"], best["value"]) == (key, {"content": "Ana drinks green tea"})
    assert best["score"] > other["score"]
    assert ask(manage, content="Ana drinks black tea", action="update", id=key) == f"updated memory {key}"
    assert json.loads(ask(search, query="black tea", limit=1))[0]["value"] == {"content": "Ana drinks black tea"}
    assert ask(manage, action="delete", id=key) == f"Deleted memory {key}"
    assert [hit["value"]["content"] for hit in json.loads(ask(search, query="tea"))] == ["Ana has a dog"]


def test_the_tools_take_the_store_and_the_user_from_the_graph(store: MemoryBankStore) -> None:
    manage = create_manage_memory_tool(namespace=("memories", "{langgraph_user_id}"))
    search = create_search_memory_tool(namespace=("memories", "{langgraph_user_id}"))

    @entrypoint(store=store)
    async def remember(content: str) -> str:
        return await manage.ainvoke({"content": content})

    @entrypoint(store=store)
    def recall(query: str) -> str:
        return search.invoke({"query": query})

    async def both() -> None:
        for user in ("ana", "ben"):
            await remember.ainvoke(f"{user} drinks tea", config={"configurable": {"langgraph_user_id": user}})

    asyncio.run(both())
    found = json.loads(recall.invoke("tea", config={"configurable": {"langgraph_user_id": "ana"}}))
    assert [hit["value"] for hit in found] == [{"content": "ana drinks tea"}]
    assert sorted(store.list_namespaces()) == [("memories", "ana"), ("memories", "ben")]


def test_a_memory_with_a_schema_of_its_own_is_kept_and_found(store: MemoryBankStore) -> None:
    class Profile(BaseModel):
        name: str
        drinks: list[str]

    manage = create_manage_memory_tool(namespace=("profiles",), schema=Profile, store=store)
    search = create_search_memory_tool(namespace=("profiles",), store=store, response_format="content_and_artifact")
    made_id(manage.invoke({"content": {"name": "Ana", "drinks": ["green tea"]}}))
    message = search.invoke({"type": "tool_call", "id": "1", "name": "search_memory", "args": {"query": "green tea"}})
    (item,) = message.artifact
    assert item.value == {"content": {"name": "Ana", "drinks": ["green tea"]}}
    assert item.score > 0.3
