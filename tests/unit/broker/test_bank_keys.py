"""Banks of what was learned before a turn, against a filter of the raw file.

Rows U21, U25.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process_broker import in_process_client

from memupdate.broker import BankRegistry, Conversations, MemoryBroker
from memupdate.data.bank_keys import bank_key, learned_before, split_bank_key
from memupdate.data.preprocess import preprocess
from memupdate.errors import DataError, FieldError
from memupdate.memory import (
    CachingEmbedder,
    HashingEmbedder,
    Memory,
    MemoryBank,
    Operation,
    read_memories,
    write_memories,
)


class CountingEmbedder(HashingEmbedder):
    """Not the hashing embedder itself, so the broker takes it for a slow model."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def embed(self, texts: Any) -> np.ndarray:
        self.asked += texts
        return super().embed(texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five memories of three sessions."""
    memories = [
        Memory(id="m1", content="Ann moved", session=1, evidence=("D1:1",)),
        Memory(id="m2", content="Bo sings", session=2, evidence=("D2:1", "D2:4")),
        Memory(id="m3", content="Ann cooks", session=2, evidence=("D2:2",)),
        Memory(id="m4", content="Both like tea", session=2),
        Memory(id="m5", content="Bo has a cat", session=3, evidence=("D3:1",)),
    ]
    write_memories(tmp_path / "conv-1.jsonl", memories)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "ids"),
    [
        ("conv-1", ["m1", "m2", "m3", "m4", "m5"]),
        ("conv-1@D1:1", []),
        ("conv-1@D1:2", ["m1"]),
        ("conv-1@D2:1", ["m1"]),
        ("conv-1@D2:3", ["m1", "m3"]),  # m2 cites turn 4 too, and m4 belongs to the end
        ("conv-1@D2:5", ["m1", "m2", "m3"]),
        ("conv-1@D3:1", ["m1", "m2", "m3", "m4"]),
        ("conv-1@D99:1", ["m1", "m2", "m3", "m4", "m5"]),
    ],
)
def test_a_key_opens_what_was_learned_before_the_turn(folder: Path, key: str, ids: list[str]) -> None:
    registry = BankRegistry(Conversations(folder, HashingEmbedder()))
    registry.open("t1", key)
    assert [memory["id"] for memory in registry.at("t1").list_memories()] == ids
    assert registry.at("t1").stats()["sample_id"] == key


@pytest.mark.parametrize(
    "key",
    ["conv-1@", "conv-1@D5", "conv-1@5:1", "conv-1@D0:1", "conv-1@D1:1@D2:1", "@D1:1", "conv-1@D01:1", "conv-1@ D1:1"],
)
def test_a_wrong_key_is_an_error_that_says_what_is_allowed(folder: Path, key: str) -> None:
    async def scenario() -> None:
        client = in_process_client(folder)
        with pytest.raises(FieldError, match=rf"^bank: got '{re.escape(key)}'; allowed: a conversation.*conv-1@D5:1"):
            await client.open("t1", key)
        with pytest.raises(FieldError, match=r"sample_id: got 'conv-2'; allowed: .*conv-1"):
            await client.open("t1", "conv-2@D1:1")
        assert await client.namespaces() == []

    asyncio.run(scenario())


def test_memories_that_do_not_say_when_they_were_learned(tmp_path: Path) -> None:
    write_memories(tmp_path / "none.jsonl", [Memory(id="m1", content="Ann moved")])
    write_memories(tmp_path / "odd.jsonl", [Memory(id="m1", content="Ann moved", session=2, evidence=("page 4",))])
    conversations = Conversations(tmp_path, HashingEmbedder())
    for name, expected in (("none", "expected a session"), ("odd", "got 'page 4'")):
        assert len(conversations.fork(name)) == 1
        with pytest.raises(DataError, match=rf"bank '{name}@D2:1': memory 'm1'.*{expected}"):
            conversations.fork(f"{name}@D2:1")


def test_a_key_is_what_it_was_made_of() -> None:
    assert split_bank_key(bank_key("conv-1", "D5:1")) == ("conv-1", "D5:1")
    assert split_bank_key(bank_key("conv-1")) == ("conv-1", "")
    with pytest.raises(ValueError, match="got 'D5'"):
        learned_before([], "D5")


def test_every_session_bank_of_the_real_file(locomo_json: Path, tmp_path: Path) -> None:
    """The naive filter of the observations, for all session rows; parts of 2,000 characters cut most sessions."""
    import pyarrow.parquet as pq

    preprocess(locomo_json, tmp_path / "out", session_characters=2000)
    raw = {one["sample_id"]: one["observation"] for one in json.loads(locomo_json.read_bytes())}
    embedder = CachingEmbedder(HashingEmbedder())
    conversations = Conversations(tmp_path / "out" / "memories", embedder)
    keys = [
        row["extra_info"]["bank"]
        for split in ("train", "test")
        for row in pq.read_table(tmp_path / "out" / f"{split}-session.parquet").to_pylist()
    ]
    assert len(keys) > 400
    for key in keys:
        name, turn = key.split("@D")
        session, first = map(int, turn.split(":"))
        expected = []
        for heading, speakers in raw[name].items():
            number = int(heading.split("_")[1])
            for facts in speakers.values():
                for text, cited in facts:
                    turns = [int(one) for one in re.findall(r"D\d+:(\d+)", str(cited))]
                    if number < session or (number == session and all(turn < first for turn in turns)):
                        expected.append(text.strip())
        assert [memory.content for memory in conversations.fork(key)] == expected, key
    texts = {memory.text for name in raw for memory in read_memories(tmp_path / "out" / "memories" / f"{name}.jsonl")}
    assert embedder.computed == len(texts)


def test_u25_the_banks_of_a_conversation_embed_its_memories_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []

    def counted(path: Path) -> list[Memory]:
        files.append(path.name)
        return read_memories(path)

    monkeypatch.setattr("memupdate.broker.conversations.read_memories", counted)

    async def scenario() -> None:
        model = CountingEmbedder()
        broker = MemoryBroker(str(folder), model)
        keys = ["conv-1@D2:3", "conv-1", "conv-1@D1:1", "conv-1@D3:1"]
        await asyncio.gather(*(broker.open(f"t{number}", key) for number, key in enumerate(keys)))
        assert sorted(model.asked) == sorted(memory.text for memory in read_memories(folder / "conv-1.jsonl"))
        assert files == ["conv-1.jsonl"]
        model.asked.clear()
        found = (await broker.evaluate("t0", "Who sings?"))["after"]["retrieved"]
        assert model.asked == ["Who sings?"]
        assert sorted(found) == ["Ann cooks", "Ann moved"]

    asyncio.run(scenario())


def test_u25_a_bank_before_a_turn_takes_the_embeddings_of_its_conversation(folder: Path) -> None:
    """Also where the cache has long dropped them."""
    embedder = CachingEmbedder(HashingEmbedder(), capacity=1)
    conversations = Conversations(folder, embedder)
    conversations.fork("conv-1")
    assert embedder.computed == 5
    for turn in ("D1:1", "D2:1", "D2:3", "D3:1"):
        conversations.fork(f"conv-1@{turn}")
    assert embedder.computed == 5


def test_a_bank_before_a_turn_searches_and_edits_as_one_made_of_its_memories(folder: Path) -> None:
    memories = read_memories(folder / "conv-1.jsonl")
    part = Conversations(folder, HashingEmbedder()).fork("conv-1@D2:3")
    made = MemoryBank.from_memories([memories[0], memories[2]], HashingEmbedder())
    assert part.digest() == made.digest()
    for bank in (part, made):
        bank.apply(Operation("create", {"content": "Ann cooks soup"}))
        assert [memory.id for memory in bank] == ["m1", "m3", "m4"]
        assert len(bank.initial) == 2
    assert [(hit.memory, hit.score) for hit in part.search("cooks")] == [
        (hit.memory, hit.score) for hit in made.search("cooks")
    ]


def test_u21_forks_and_a_new_process_keep_a_bank_before_a_turn(folder: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = str(tmp_path / "journal")
        broker = MemoryBroker(str(folder), journal_dir=journal)
        await broker.open("t1", "conv-1@D2:1")
        await broker.run("t1", [Operation("create", {"content": "Ann cooks soup"})])
        await broker.fork("t2", "t1")
        with pytest.raises(FieldError, match=r"sample_id: got 'conv-1'; allowed: 'conv-1@D2:1'"):
            await broker.open("t1", "conv-1")
        other = MemoryBroker(str(folder))
        await other.adopt("t3", "t1", await broker.recipe("t1"))
        await broker.stop()
        again = MemoryBroker(str(folder), journal_dir=journal)
        for where, name in ((again, "t1"), (again, "t2"), (other, "t3")):
            listed = await where.list_memories(name)
            assert [memory["content"] for memory in listed] == ["Ann moved", "Ann cooks soup"]
            assert [memory["id"] for memory in await where.initial_snapshot(name)] == ["m1"]
        await again.stop()

    asyncio.run(scenario())
