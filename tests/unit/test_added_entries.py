"""What docs/extending.md shows works: a scorer, an embedder and a dataset of another package, named in a config."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from memupdate.broker import MemoryBroker
from memupdate.cli import main
from memupdate.data.conversation import Conversation, Evidence, Fact, Question, Session, Turn
from memupdate.data.datasets import DATASETS, load_dataset
from memupdate.errors import DataError, FieldError
from memupdate.memory import EMBEDDERS, Memory, MemoryBank, Operation, make_embedder
from memupdate.rewards import SCORERS, RewardConfig, make_scorer, memory_reward

ENTRY_POINTS = """\
[memupdate.scorers]
keyword = keyword_scorer:KeywordScorer

[memupdate.embedders]
letters = letters_embedder:LettersEmbedder

[memupdate.datasets]
diary = diary_dataset:load_diary
"""

DIARIES: list[dict[str, Any]] = [
    {"diary": "ana", "date": "3 May, 2024", "text": "I adopted a cat called Mio."},
    {"diary": "ben", "date": "8 June, 2024", "text": "I sold the car."},
    {"diary": "ana", "date": "9 May, 2024", "text": "The cat broke the blue vase."},
    {"diary": "ana", "question": "What is the cat called?", "answer": "Mio"},
    {"diary": "ben", "question": "What did Ben sell?", "answer": "the car"},
]


@pytest.fixture(autouse=True)
def installed(install: Callable[[str], None]) -> None:
    install(ENTRY_POINTS)


@pytest.fixture
def diaries(tmp_path: Path) -> Path:
    path = tmp_path / "diaries.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in DIARIES))
    return path


def test_an_added_scorer_is_named_in_a_config() -> None:
    assert list(SCORERS)[-1] == "keyword"
    config = RewardConfig.from_mapping(
        {"scorer": {"name": "keyword", "otherwise": 0.25}, "top_k": 1, "formula": "monotone"}
    )
    bank = MemoryBank.from_memories([Memory("m1", "Ana likes tea")], make_embedder("hashing"))
    edited = bank.fork()
    edited.update("m1", "Ana keeps the cat Mio")
    parts = memory_reward(bank, edited, "What is Ana's cat called?", "Mio the cat", config=config)
    assert (parts.qa_before, parts.qa_after) == (0.25, 1.0)
    with pytest.raises(FieldError, match=r"reward\.scorer\.otherwise: got 2"):
        make_scorer({"name": "keyword", "otherwise": 2})


def test_an_added_embedder_is_named_in_a_config() -> None:
    assert list(EMBEDDERS)[-1] == "letters"

    async def searching() -> list[str]:
        broker = MemoryBroker(None, "letters")
        try:
            await broker.open("t1")
            created = [Operation("create", {"content": content}) for content in ("zzz", "tea", "?!")]
            *_, found = await broker.run("t1", [*created, Operation("search", {"query": "eat", "top_k": 1})])
            assert isinstance(found.value, list)
            return [str(hit["content"]) for hit in found.value]  # type: ignore[index, call-overload]
        finally:
            await broker.stop()

    assert asyncio.run(searching()) == ["tea"]  # the same letters as "eat", which hashing knows nothing of


def test_an_added_dataset_becomes_rows_and_memories(
    diaries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(DATASETS)[-1] == "diary"
    output = tmp_path / "rows"
    arguments = ["--dataset", "diary", "--input", str(diaries), "--output", str(output), "--test", "ben"]
    assert main(["preprocess", *arguments]) == 0
    (row,) = pq.read_table(output / "train.parquet").to_pylist()
    assert row["data_source"] == "diary" and row["extra_info"]["question"] == "What is the cat called?"
    assert row["reward_model"]["ground_truth"] == row["extra_info"]["answer"] == "Mio"
    assert main(["check-data", "--preprocessed", str(output)]) == 0
    assert json.loads(capsys.readouterr().out)["memories"] == {"ana": 2, "ben": 1}

    async def begun() -> Any:
        broker = MemoryBroker(str(output / "memories"))
        try:
            await broker.open("t1", row["extra_info"]["sample_id"])
            return await broker.evaluate("t1", row["extra_info"]["question"], 1)
        finally:
            await broker.stop()

    assert asyncio.run(begun())["before"]["retrieved"] == ("I adopted a cat called Mio. (3 May, 2024)",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"diary": "ana"}, "expected diary entries and questions as JSON lines: KeyError('text')"),
        ({"diary": "../ana", "date": "d", "text": "x"}, "expected a sample_id"),
        ({"diary": "ana", "date": "", "text": "x"}, "fact 3: expected a session that has a date, got session 3"),
        ({"diary": "ana", "question": "Why?", "answer": None}, "question 1: expected an answer"),
    ],
)
def test_what_a_loader_gets_wrong_is_named(
    diaries: Path, tmp_path: Path, line: dict[str, Any], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    diaries.write_text(diaries.read_text() + json.dumps(line) + "\n")
    output = tmp_path / "rows"
    assert main(["preprocess", "--dataset", "diary", "--input", str(diaries), "--output", str(output)]) == 2
    assert expected in capsys.readouterr().err
    assert not output.exists()


TURN = Turn("D1:1", 1, "ana", "I adopted a cat.")


@pytest.mark.parametrize(
    ("facts", "questions", "expected"),
    [
        (["D1:1"], ["D1:1"], None),
        (["D1:2"], [], "fact 1: expected evidence that is ids of turns of the conversation, got 'D1:2'"),
        (
            ["D1:1"],
            ["D1:1", "D7:3"],
            "question 1: expected evidence that is ids of turns of the conversation, got 'D7:3'",
        ),
    ],
)
def test_evidence_that_is_no_turn_is_named_with_its_row(
    facts: list[str], questions: list[str], expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = Conversation(
        "ana",
        ("ana",),
        (Session(1, "3 May, 2024", (TURN,)),),
        tuple(Fact("ana", 1, "I adopted a cat.", Evidence((cited,))) for cited in facts),
        tuple(Question(i, "Which pet?", 1, "a cat", evidence=Evidence((cited,))) for i, cited in enumerate(questions)),
    )
    monkeypatch.setattr(DATASETS, "load", lambda name: lambda path: [conversation])
    if expected is None:
        assert load_dataset("cited", tmp_path / "file") == [conversation]
        return
    with pytest.raises(DataError, match=re.escape(f"dataset cited: conversation 'ana': {expected}")):
        load_dataset("cited", tmp_path / "file")


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (5, "dataset wrong: expected its function to return a list of conversations, got 5"),
        (None, "dataset wrong: expected its function to return a list of conversations, got None"),
        (["ana"], "dataset wrong: expected a Conversation in place 0, got 'ana'"),
    ],
)
def test_a_loader_that_returns_no_conversations_is_named(
    returned: object, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DATASETS, "load", lambda name: lambda path: returned)
    with pytest.raises(DataError, match=expected):
        load_dataset("wrong", tmp_path / "file")


def test_the_help_of_the_mcp_command_names_added_embedders(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["mcp", "--help"])
    assert "letters" in capsys.readouterr().out


def test_a_dataset_that_nobody_added_is_an_error(diaries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preprocess", "--dataset", "letters", "--input", str(diaries), "--output", "rows"]) == 2
    assert "dataset: got 'letters'; allowed: one of locomo, synthetic, diary" in capsys.readouterr().err
