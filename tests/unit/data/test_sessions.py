"""All sessions of a conversation in a preprocessed folder, as an agent is shown them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import sample, write_json

from memupdate.data.check_preprocessed import check_preprocessed
from memupdate.data.preprocess import preprocess
from memupdate.data.rows import ROW_SCHEMA
from memupdate.data.sessions import read_sessions
from memupdate.errors import DataError


def preprocessed(folder: Path, conversations: list[dict[str, Any]], **options: Any) -> Path:
    preprocess(write_json(folder / "in.json", conversations), folder / "rows", test=["conv-2"], **options)
    return folder / "rows"


def test_every_turn_is_shown_once_in_order(tmp_path: Path) -> None:
    rows = preprocessed(tmp_path, [sample("conv-1"), sample("conv-2")], session_characters=50)
    parts = read_sessions(rows, "conv-1")
    assert [(one.session, one.part, one.parts, one.first_turn, one.last_turn) for one in parts] == [
        (1, 1, 2, "D1:1", "D1:1"),
        (1, 2, 2, "D1:2", "D1:2"),
        (2, 1, 1, "D2:1", "D2:2"),
    ]
    assert [one.text for one in parts] == [
        "Session 1, 1:56 pm on 8 May, 2023\nAnn: I moved last year and cook soup.",
        "Session 1, 1:56 pm on 8 May, 2023\nBo: I work at a bank. [image: a photo of a bank]",
        "Session 2, 9:05 am on 1 June, 2023\nBo: Hi Ann.\nAnn: Hi Bo, I cook rice.",
    ]


def test_without_evidence_there_are_no_sessions(tmp_path: Path) -> None:
    bare = sample("conv-1")
    for question in bare["qa"]:
        question["evidence"] = []
    rows = preprocessed(tmp_path, [bare, sample("conv-2")])
    assert read_sessions(rows, "conv-1") == []
    assert len(read_sessions(rows, "conv-2")) == 2
    assert check_preprocessed(rows).schema_errors == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"session": "1"}, r"conv-1.jsonl:2: session: expected a whole number"),
        ({"first_turn": "D1:1"}, r"conv-1.jsonl:2: expected turns of session 2 in ascending order"),
        ({"last_turn": "D3:1"}, r"conv-1.jsonl:2: expected turns of session 2 in ascending order"),
        ({"last_turn": "here"}, r"conv-1.jsonl:2: first_turn, last_turn: expected 'D'"),
        ({"text": ""}, r"conv-1.jsonl:2: text: expected a non-empty string"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    rows = preprocessed(tmp_path, [sample("conv-1"), sample("conv-2")])
    path = rows / "sessions" / "conv-1.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(first + "\n" + json.dumps({**json.loads(second), **change}) + "\n")
    with pytest.raises(DataError, match=named):
        read_sessions(rows, "conv-1")
    assert any(path.name in error for error in check_preprocessed(rows).schema_errors)


def test_a_row_that_shows_other_turns_is_found(tmp_path: Path) -> None:
    rows = preprocessed(tmp_path, [sample("conv-1"), sample("conv-2")])
    path = rows / "train-session.parquet"
    found = pq.read_table(path).to_pylist()
    shown = found[0]["prompt"][1]
    shown["content"] = shown["content"].rsplit("\n", 1)[0]
    pq.write_table(pa.Table.from_pylist(found, schema=ROW_SCHEMA), path)
    assert check_preprocessed(rows).schema_errors == [
        "train-session.parquet: row 0: expected a part of a session as in sessions/conv-1.jsonl"
    ]
