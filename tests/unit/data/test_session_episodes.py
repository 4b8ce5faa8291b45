"""Session episodes, against a recount of the raw file that shares no code with them.

Rows U1, U2, U3.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import sample, write_json

from memupdate.data.conversation import Session, Turn
from memupdate.data.episodes import cut_session, turn_line
from memupdate.data.preprocess import main, preprocess
from memupdate.data.prompts import SESSION_SYSTEM_PROMPT
from memupdate.errors import DataError

Place = tuple[int, int]


def session_rows(directory: Path) -> list[dict[str, Any]]:
    return [
        row for split in ("train", "test") for row in pq.read_table(directory / f"{split}-session.parquet").to_pylist()
    ]


def raw_turns(talk: dict[str, Any]) -> dict[int, list[tuple[Place, str]]]:
    """Session -> place and line of each turn, from the raw file."""
    sessions = {}
    for key, turns in talk.items():
        if re.fullmatch(r"session_\d+", key) and turns:
            lines = []
            for turn in turns:
                session, number = map(int, turn["dia_id"].removeprefix("D").split(":"))
                line = f"{turn['speaker']}: {turn['text'].strip()}"
                if turn.get("blip_caption"):
                    line += f" [image: {turn['blip_caption'].strip()}]"
                lines.append(((session, number), re.sub(r"\s*\n\s*", " ", line).strip()))
            sessions[int(key.removeprefix("session_"))] = lines
    return sessions


def raw_evidence(item: dict[str, Any], known: set[Place]) -> set[Place]:
    pairs = re.findall(r"D:?(\d+):(\d+)", " ".join(item["evidence"]))
    return {(int(session), int(turn)) for session, turn in pairs} & known


def recount(raw: list[dict[str, Any]], characters: int) -> dict[tuple[str, int, int], tuple[Place, Place, str]]:
    """(conversation, session, part) -> first turn, last turn and shown text, of each part with a question."""
    found = {}
    for one in raw:
        sessions = raw_turns(one["conversation"])
        known = {place for turns in sessions.values() for place, _ in turns}
        cited = [raw_evidence(item, known) for item in one["qa"]]
        for number, turns in sessions.items():
            parts: list[list[tuple[Place, str]]] = [[]]
            for turn in turns:
                if len("\n".join([line for _, line in parts[-1]] + [turn[1]])) > characters:
                    parts.append([])
                parts[-1].append(turn)
            for part, shown in enumerate(parts, 1):
                inside, last = {place for place, _ in shown}, shown[-1][0]
                if any(places & inside and all(place <= last for place in places) for places in cited):
                    date = one["conversation"][f"session_{number}_date_time"].strip()
                    text = "\n".join([f"Session {number}, {date}", *(line for _, line in shown)])
                    found[one["sample_id"], number, part] = (shown[0][0], last, text)
    return found


@pytest.fixture(scope="module")
def raw(locomo_json: Path) -> list[dict[str, Any]]:
    return json.loads(locomo_json.read_bytes())  # type: ignore[no-any-return]


@pytest.mark.parametrize(("characters", "count"), [(6000, 271), (1500, None), (100_000, 270)])
def test_u1_session_rows_of_the_real_file(
    raw: list[dict[str, Any]], locomo_json: Path, tmp_path: Path, characters: int, count: int | None
) -> None:
    """Each session that completes a question is a row. Two of LoCoMo's 272 complete none; with 6,000 characters seven
    sessions come in two parts, and both parts of one of them complete a question. Ten are first sessions: 260 others.
    """
    preprocess(locomo_json, tmp_path / "out", session_characters=characters)
    rows, expected = session_rows(tmp_path / "out"), recount(raw, characters)
    assert len(rows) == len(expected) and (count is None or len(rows) == count)
    if characters == 100_000:
        assert sum(session > 1 for _, session, _ in expected) == 260
    for row in rows:
        info = row["extra_info"]
        first, last, text = expected.pop((info["sample_id"], info["session"], info["part"]))
        assert info["bank"] == f"{info['sample_id']}@D{first[0]}:{first[1]}"
        assert info["last_turn"] == f"D{last[0]}:{last[1]}"
        assert row["prompt"] == [
            {"role": "system", "content": SESSION_SYSTEM_PROMPT},
            {"role": "user", "content": text},
        ]
        assert len(text.split("\n", 1)[1]) <= characters


def test_u1_a_session_row_in_full(tmp_path: Path) -> None:
    preprocess(write_json(tmp_path / "two.json", [sample("a"), sample("b")]), tmp_path / "out", test=["b"])
    rows = pq.read_table(tmp_path / "out" / "train-session.parquet").to_pylist()
    text = (
        "Session 1, 1:56 pm on 8 May, 2023\n"
        "Ann: I moved last year and cook soup.\n"
        "Bo: I work at a bank. [image: a photo of a bank]"
    )
    assert [row["extra_info"]["session"] for row in rows] == [1, 2]
    namespace = rows[0]["extra_info"].pop("namespace")
    assert re.fullmatch(r"a-s1p1-[0-9a-f]{8}", namespace)
    assert rows[0] == {
        "prompt": [{"role": "system", "content": SESSION_SYSTEM_PROMPT}, {"role": "user", "content": text}],
        "data_source": "locomo",
        "ability": "memory",
        "reward_model": {"style": "memory", "ground_truth": ""},
        "agent_name": "memory_agent",
        "extra_info": {
            **{"split": "train", "index": 0, "sample_id": "a", "qa_index": -1, "question": "", "answer": ""},
            **{"category": 0, "evidence": [], "adversarial_answer": None, "episode": "session", "session": 1},
            **{"part": 1, "parts": 1, "bank": "a@D1:1", "last_turn": "D1:2"},
        },
    }


def test_u1_the_questions_of_a_conversation_are_stored_in_order(tmp_path: Path) -> None:
    preprocess(write_json(tmp_path / "two.json", [sample("a"), sample("b")]), tmp_path / "out", test=["b"])
    lines = (tmp_path / "out" / "questions" / "a.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"index": 0, "question": "When did Ann move?", "answer": "2022", "category": 2, "evidence": ["D1:1"]},
        {
            **{"index": 1, "question": "What has Ann cooked?", "answer": "soup, rice", "category": 1},
            "evidence": ["D1:1", "D2:2"],
        },
        {
            "index": 2,
            "question": "Would Bo like skiing?",
            "answer": "Yes; he loves snow",
            "category": 3,
            "evidence": [],
        },
        {"index": 3, "question": "Where does Bo work?", "answer": "bank", "category": 4, "evidence": ["D1:2"]},
        {
            **{"index": 4, "question": "Where does Ann work?", "answer": "No information available", "category": 5},
            "evidence": ["D1:2"],
        },
    ]
    preprocess(tmp_path / "two.json", tmp_path / "out", test=["b"], categories=[1])
    assert len((tmp_path / "out" / "questions" / "b.jsonl").read_text().splitlines()) == 1
    # Only session 2 completes the question that is left: its evidence is in both sessions.
    assert [row["extra_info"]["session"] for row in session_rows(tmp_path / "out")] == [2, 2]


def test_u3_session_trajectory_ids(locomo_json: Path, tmp_path: Path) -> None:
    def ids(**options: Any) -> dict[tuple[str, int, int], str]:
        preprocess(locomo_json, tmp_path / "out", **options)
        infos = [row["extra_info"] for row in session_rows(tmp_path / "out")]
        names = {(info["sample_id"], info["session"], info["part"]): info["namespace"] for info in infos}
        assert len(set(names.values())) == len(infos)
        return names

    full, other_split, other_seed = ids(), ids(test=["conv-26"]), ids(seed=7)
    assert full == other_split
    assert full.keys() == other_seed.keys() and all(full[key] != other_seed[key] for key in full)
    assert all(re.fullmatch(rf"{key[0]}-s{key[1]}p{key[2]}-[0-9a-f]{{8}}", name) for key, name in full.items())


texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=12)


@given(texts, st.integers(60, 200))
def test_u2_parts_hold_each_turn_once_and_are_as_long_as_possible(said: list[str], characters: int) -> None:
    turns = tuple(Turn(f"D3:{2 * number}", 3, "Ann", text, "") for number, text in enumerate(said, 1))
    parts = cut_session("c", Session(3, "1 May, 2023", turns), characters)
    assert tuple(turn for part in parts for turn in part.turns) == turns
    assert [part.part for part in parts] == list(range(1, len(parts) + 1))
    shown = [part.text.split("\n", 1)[1] for part in parts]
    assert all(
        len(text) <= characters and text.count("\n") == len(part.turns) - 1
        for text, part in zip(shown, parts, strict=True)
    )
    for text, after in zip(shown, parts[1:], strict=False):
        assert len(text + "\n" + turn_line(after.turns[0])) > characters


def test_a_turn_longer_than_a_part_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_json(tmp_path / "two.json", [sample("a"), sample("b")])
    arguments = ["--input", str(path), "--output", str(tmp_path / "out"), "--test", "b", "--session-characters"]
    assert main([*arguments, "30"]) == 2
    message = capsys.readouterr().err
    assert "session_characters: got 30; allowed: 37 or more: so long is turn D1:1 of conversation a" in message
    assert main([*arguments, "0"]) == 2
    assert "session_characters: got 0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "50"]) == 0
    assert [row["extra_info"]["parts"] for row in session_rows(tmp_path / "out")] == [2, 2, 1, 2, 2, 1]


@pytest.mark.parametrize("ids", [("D3:2", "D3:1"), ("D3:1", "D3:1"), ("D2:1",), ("3:1",)])
def test_turns_out_of_order_are_an_error_that_names_the_turn(ids: tuple[str, ...]) -> None:
    session = Session(3, "1 May, 2023", tuple(Turn(one, 3, "Ann", "Hi.") for one in ids))
    with pytest.raises(DataError, match=rf"conversation c, session 3: expected an id D3:.*got '{ids[-1]}'"):
        cut_session("c", session)
