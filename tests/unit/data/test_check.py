"""U40: the data check counts what is there, finds schema errors, and says so by exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small import sample, write_json

from memupdate.data.check import check_locomo, main
from memupdate.data.check_preprocessed import check_preprocessed
from memupdate.data.preprocess import preprocess
from memupdate.data.rows import ROW_SCHEMA


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = write_json(tmp_path / "two.json", [sample("a"), sample("b")])
    preprocess(path, tmp_path / "out", train_conversations=1)
    return tmp_path / "out"


def test_u40_counts_of_the_real_file(locomo_json: Path) -> None:
    report = check_locomo(locomo_json)
    assert (report.conversations, report.sessions, report.turns) == (10, 272, 5882)
    assert report.questions == 1986 and report.facts == 2541
    assert report.questions_per_category == {1: 282, 2: 321, 3: 96, 4: 841, 5: 446}
    # L3: 1 + 1 + 1 + 3 strings, L4: one zero-padded id and two dangling ones
    assert (report.question_evidence.malformed, report.question_evidence.dangling) == (7, 2)
    assert (report.question_evidence.empty, report.question_evidence.duplicate_ids) == (4, 1)
    # L7: five comma strings; ten lists and these cite several turns
    assert (report.fact_evidence.malformed, report.fact_evidence.several) == (5, 15)
    assert (report.duplicate_questions, report.answers_not_text) == (12, 6)
    assert (report.adversarial_only, report.dates_without_session) == (444, 16)
    assert report.schema_errors == []


def test_u40_counts_of_a_small_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = sample()
    changed["qa"][0]["evidence"] = ["D1:1; D2:2", "D1:1", "D9:9"]
    changed["qa"].append(changed["qa"][0])
    changed["conversation"]["session_5_date_time"] = "1:00 pm on 1 July, 2023"
    path = write_json(tmp_path / "small.json", [changed])
    assert main(["--input", str(path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["questions_per_category"] == {"1": 1, "2": 2, "3": 1, "4": 1, "5": 1}
    assert report["question_evidence"] == {
        "malformed": 2,
        "dangling": 2,
        "empty": 1,
        "duplicate_ids": 2,
        "several": 3,
    }
    assert (report["duplicate_questions"], report["answers_not_text"], report["adversarial_only"]) == (1, 2, 1)
    assert (report["sessions"], report["turns"], report["facts"]) == (2, 4, 3)
    assert report["dates_without_session"] == 1 and report["facts_per_conversation"] == {"conv-1": 3}


def test_u40_schema_errors_are_all_listed_and_exit_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = sample()
    changed["qa"][0]["question"] = 3
    changed["qa"][1]["category"] = 7
    del changed["conversation"]["session_1"][0]["text"]
    changed["observation"]["session_2_observation"]["Ann"][0][0] = "x" * 8001
    path = write_json(tmp_path / "bad.json", [changed, {"sample_id": "b"}, 5])
    assert main(["--input", str(path)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["conversations"] == 1 and report["questions"] == 3
    places = ["session_1[0]", "qa[0].question", "qa[1].category", "[1]", "[2]", "conv-1, session 2, fact 3"]
    assert len(report["schema_errors"]) == len(places)
    for place, message in zip(places, report["schema_errors"], strict=True):
        assert place in message and "expected" in message


@pytest.mark.parametrize("content", [b"{}", b"[]", b"3"])
def test_u40_other_json_exits_with_1(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.json").write_bytes(content)
    assert main(["--input", str(tmp_path / "other.json")]) == 1


def test_u40_unreadable_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.json").write_text('[{"sample')
    for arguments in (["--input", "cut.json"], ["--input", "none.json"], ["--preprocessed", "none"]):
        assert main([arguments[0], str(tmp_path / arguments[1])]) == 2
        assert arguments[1] in capsys.readouterr().err


def test_u40_preprocessed_directory(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preprocessed", str(directory)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == {"train": 5, "test": 5} and report["memories"] == {"a": 3, "b": 3}
    assert report["rows_per_category"]["test"] == {"1": 1, "2": 1, "3": 1, "4": 1, "5": 1}
    assert report["schema_errors"] == []


def test_u40_preprocessed_real_file(locomo_json: Path, tmp_path: Path) -> None:
    preprocess(locomo_json, tmp_path / "out")
    report = check_preprocessed(tmp_path / "out")
    assert report.rows == {"train": 1440, "test": 546} and report.schema_errors == []
    assert report.session_rows == {"train": 203, "test": 68} and sum(report.questions.values()) == 1986
    assert sum(report.memories.values()) == 2541


def edit_rows(directory: Path, edit: Callable[[list[dict[str, Any]]], object], file: str = "train.parquet") -> None:
    rows = pq.read_table(directory / file).to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), directory / file)


def swap_names(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["extra_info"]["sample_id"] = {"a": "b", "b": "a"}[row["extra_info"]["sample_id"]]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda rows: rows[1]["prompt"][1].update(content="the answer is soup"), "row 1.prompt"),
        (lambda rows: rows[1]["extra_info"].update(index=7), "row 1.extra_info.index: expected 1"),
        (lambda rows: rows[1]["extra_info"].update(category=0), "row 1.extra_info.category"),
        (lambda rows: rows[1]["extra_info"].update(split="test"), "row 1.extra_info.split"),
        (lambda rows: rows[1]["extra_info"].update(namespace="a-qa1-00000000"), "row 1.extra_info.namespace"),
        (lambda rows: rows[1]["extra_info"].update(answer=None), "row 1.extra_info.answer"),
        (lambda rows: rows[1]["reward_model"].update(ground_truth="x"), "row 1.reward_model"),
        (lambda rows: rows[1].update(extra_info=None), "row 1.extra_info"),
        (lambda rows: rows[1]["extra_info"].update(sample_id=None), "row 1.extra_info.sample_id"),
        (lambda rows: rows.append(rows[0]), "train: expected a trajectory id once"),
        (lambda rows: rows.clear(), "train.parquet: expected at least one row"),
        (lambda rows: rows.pop(), "splits.train.rows: expected 4"),
        (swap_names, "in both"),
    ],
)
def test_u40_wrong_rows_are_found(directory: Path, edit: Callable[[list[dict[str, Any]]], None], expected: str) -> None:
    edit_rows(directory, edit)
    errors = check_preprocessed(directory).schema_errors
    assert any(expected in error for error in errors), errors
    assert main(["--preprocessed", str(directory)]) == 1


def info(**changes: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[1]["extra_info"].update(changes)


def says(text: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[1]["prompt"][1].update(content=text)


HEADING = "Session 2, 9:05 am on 1 June, 2023"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (info(bank="conv-9@D2:1"), "row 1.extra_info.bank: expected the key of a bank before a turn of session 2"),
        (info(bank="D2:1"), "row 1.extra_info.bank"),
        (info(bank="@"), "row 1.extra_info.bank"),
        (lambda rows: rows[1]["extra_info"].update(bank=rows[0]["extra_info"]["bank"]), "row 1.extra_info.bank"),
        (info(last_turn="D3:1"), "row 1.extra_info.last_turn: expected a turn of session 2"),
        (info(last_turn="end"), "row 1.extra_info.last_turn"),
        (info(last_turn="D2:1"), "row 1.extra_info.last_turn: expected turns after which a question"),
        (info(question="When did Ann move?"), "row 1.extra_info.question: expected ''"),
        (info(answer="2022"), "row 1.extra_info.answer: expected ''"),
        (info(evidence=["D2:2"]), "row 1.extra_info.evidence: expected []"),
        (info(category=2), "row 1.extra_info.category: expected 0"),
        (info(episode="question"), "row 1.extra_info.episode: expected 'session'"),
        (info(part=2), "row 1.extra_info.part: expected 1 to 1"),
        (info(namespace="a-s2p1-00000000"), "row 1.extra_info.namespace"),
        (info(sample_id="c"), "row 1.extra_info.sample_id: expected a conversation of the train split"),
        (lambda rows: rows[1]["reward_model"].update(ground_truth="2022"), "row 1.reward_model"),
        (says(f"{HEADING}\nBo: Hi Ann.\nWhen did Ann move?"), "row 1.prompt, line 3: expected what somebody says"),
        (says(f"{HEADING}, 2022\nBo: Hi Ann."), f"row 1.prompt, line 1: expected '{HEADING}'"),
        (says(HEADING), "row 1.prompt: expected at least one turn"),
        (lambda rows: rows[1]["prompt"][0].update(content="The answer is 2022."), "row 1.prompt"),
        (lambda rows: rows.pop(), "splits.train.session_rows: expected 1"),
    ],
)
def test_u40_wrong_session_rows_are_found(
    directory: Path, edit: Callable[[list[dict[str, Any]]], object], expected: str
) -> None:
    edit_rows(directory, edit, "train-session.parquet")
    errors = check_preprocessed(directory).schema_errors
    assert any(expected in error for error in errors), errors


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"answer": "2022"', '"answer": "2023"', "row 0.extra_info.answer: expected '2023', as questions/"),
        ('"evidence": []', '"evidence": ["D1:1"]', "row 2.extra_info.evidence: expected ['D1:1']"),
        ('"index": 4', '"index": 7', "row 4.extra_info.qa_index: expected the index of a question"),
        ('"index": 4', '"index": 3', "expected an index above 3, got 3"),
        ('"category": 2', '"category": 6', "category: expected an integer from 1 to 5"),
        ('"index": 0', '"index": -1', "index: expected a whole number from 0"),
        ('"question": "When', '"asked": "When', "asked: expected no such field"),
        ('"index": 0', '"index": 0, "index', "expected a question as one complete JSON object"),
    ],
)
def test_u40_wrong_questions_are_found(directory: Path, old: str, new: str, expected: str) -> None:
    for name in ("a", "b"):
        path = directory / "questions" / f"{name}.jsonl"
        path.write_text(path.read_text().replace(old, new))
    errors = check_preprocessed(directory).schema_errors
    assert any(expected in error for error in errors), errors


def test_u40_a_question_that_no_row_asks_is_found(directory: Path) -> None:
    edit_rows(directory, lambda rows: rows.pop())
    errors = check_preprocessed(directory).schema_errors
    assert any("expected a row of train.parquet that asks question 4" in error for error in errors), errors
    next((directory / "questions").iterdir()).unlink()
    assert any("expected a readable UTF-8 file" in error for error in check_preprocessed(directory).schema_errors)


def test_u40_wrong_columns_memories_and_manifest_are_found(directory: Path) -> None:
    table = pq.read_table(directory / "train.parquet")
    pq.write_table(
        table.drop_columns("ability").append_column("extra", table["agent_name"]), directory / "train.parquet"
    )
    errors = check_preprocessed(directory).schema_errors
    assert any("column ability" in error for error in errors) and any("column extra" in error for error in errors)
    pq.write_table(table, directory / "train.parquet")

    path = next((directory / "memories").iterdir())
    content = path.read_text()
    path.write_text(content.replace("1:56 pm on 8 May, 2023", ""))
    assert "session_date" in check_preprocessed(directory).schema_errors[0]
    path.write_text(content[: content.rindex("\n", 0, -1) + 1])
    assert "expected 2" in check_preprocessed(directory).schema_errors[0]
    path.unlink()
    assert path.name in check_preprocessed(directory).schema_errors[0]
    path.write_text(content)

    manifest = json.loads((directory / "manifest.json").read_text())
    write_json(directory / "manifest.json", {**manifest, "options": {}})
    assert "'seed'" in check_preprocessed(directory).schema_errors[0]
    write_json(directory / "manifest.json", {**manifest, "format": 2})
    assert check_preprocessed(directory).schema_errors == [
        f"{directory / 'manifest.json'}: format: expected 3: another version wrote this directory, so preprocess its "
        "input again, got 2"
    ]
    write_json(directory / "manifest.json", manifest)
    (directory / "test.parquet").write_bytes(b"PAR1")
    assert main(["--preprocessed", str(directory)]) == 2
