"""Leaks between splits: counted, shown, and an exit code, checked against a naive recount."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import sample, write_json

from memupdate.data.check import main
from memupdate.data.leaks import find_leaks, up_to_names
from memupdate.data.preprocess import preprocess

PLACEHOLDER = "xxnamexx"


def naive(text: str, names: list[str]) -> str:
    """Character by character: no regular expression, no code of the package."""
    kept = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    lowered = [name.lower() for name in names]
    return " ".join(PLACEHOLDER if word in lowered else word for word in kept.split())


def recount(source: Path, train: list[str], held_out: list[str]) -> dict[str, tuple[int, int, int]]:
    """From the JSON file: held-out texts per kind, those that stand in training, and those that do up to names."""
    samples = {one["sample_id"]: one for one in json.loads(source.read_text())}

    def texts(kind: str, sample_id: str) -> list[tuple[str, str]]:
        one = samples[sample_id]
        names = [one["conversation"]["speaker_a"], one["conversation"]["speaker_b"]]
        if kind == "questions":
            found = [str(item["question"]) for item in one["qa"]]
        elif kind == "answers":
            found = [str(item["answer"]) for item in one["qa"] if item["category"] != 5]
        else:
            found = [fact for session in one["observation"].values() for facts in session.values() for fact, _ in facts]
        return [(text.strip(), naive(text, names)) for text in found]

    counts = {}
    for kind in ("questions", "answers", "facts"):
        seen = [pair for sample_id in train for pair in texts(kind, sample_id)]
        plains, namelesses = {plain for plain, _ in seen}, {nameless for _, nameless in seen}
        asked = [pair for sample_id in held_out for pair in texts(kind, sample_id)]
        counts[kind] = (
            len(asked),
            sum(plain in plains for plain, _ in asked),
            sum(nameless in namelesses for _, nameless in asked),
        )
    return counts


def counted(directory: Path) -> dict[str, tuple[int, int, int]]:
    leaks = find_leaks(directory)
    kinds = {"questions": leaks.questions, "answers": leaks.answers, "facts": leaks.facts}
    return {kind: (one.held_out, one.verbatim, one.up_to_names) for kind, one in kinds.items()}


def members(directory: Path, split: str) -> list[str]:
    rows = pq.read_table(directory / f"{split}.parquet").to_pylist()
    return list(dict.fromkeys(row["extra_info"]["sample_id"] for row in rows))


def renamed(value: Any, names: dict[str, str]) -> Any:
    text = json.dumps(value)
    for old, new in names.items():
        text = text.replace(old, new)
    return json.loads(text)


def test_the_generated_corpus_shares_nothing(synthetic_json: Path, tmp_path: Path, capsys: Any) -> None:
    preprocess(synthetic_json, tmp_path / "out", dataset="synthetic")
    assert main(["--preprocessed", str(tmp_path / "out"), "--leaks"]) == 0
    leaks = json.loads(capsys.readouterr().out)["leaks"]
    for kind in ("questions", "answers", "facts"):
        assert (leaks[kind]["verbatim"], leaks[kind]["up_to_names"], leaks[kind]["examples"]) == (0, 0, [])
        assert leaks[kind]["train"] > 1000 and leaks[kind]["held_out"] > 400
    train, held_out = members(tmp_path / "out", "train"), members(tmp_path / "out", "test")
    recounted = recount(synthetic_json, train, held_out)
    assert recounted == counted(tmp_path / "out")
    assert {shared for _, *both in recounted.values() for shared in both} == {0}


def test_leaks_of_the_real_file(locomo_json: Path, tmp_path: Path) -> None:
    preprocess(locomo_json, tmp_path / "out")
    directory = tmp_path / "out"
    train, held_out = members(directory, "train"), members(directory, "test")
    assert counted(directory) == recount(locomo_json, train, held_out)
    leaks = find_leaks(directory)
    assert leaks.questions.examples == ["What pets does Melanie have?"] and leaks.found
    assert leaks.answers.up_to_names > leaks.answers.verbatim > 0 == leaks.facts.up_to_names


def test_planted_leaks_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy with other names shares everything up to names; the adversarial answer does not count."""
    twin = renamed(sample("twin"), {"Ann": "Cleo", "Bo": "Dirk"})
    path = write_json(tmp_path / "two.json", [sample("a"), twin])
    preprocess(path, tmp_path / "out", test=["twin"])
    assert main(["--preprocessed", str(tmp_path / "out"), "--leaks"]) == 1
    leaks = json.loads(capsys.readouterr().out)["leaks"]
    # Five questions, four of them with answers; three facts. The answers hold no names.
    assert [leaks[kind]["held_out"] for kind in ("questions", "answers", "facts")] == [5, 4, 3]
    assert [leaks[kind]["verbatim"] for kind in ("questions", "answers", "facts")] == [0, 4, 0]
    assert [leaks[kind]["up_to_names"] for kind in ("questions", "answers", "facts")] == [5, 4, 3]
    assert "Where does Dirk work?" in leaks["questions"]["examples"]
    assert counted(tmp_path / "out") == recount(path, ["a"], ["twin"])


def test_one_planted_fact_among_others_is_enough(tmp_path: Path) -> None:
    other = sample("b")
    for number, question in enumerate(other["qa"]):
        question["question"] = f"Who is number {number}?"
    for session in other["observation"].values():
        for facts in session.values():
            for fact in facts:
                fact[0] = "Something else of " + fact[0]
    path = write_json(tmp_path / "clean.json", [sample("a"), other])
    preprocess(path, tmp_path / "clean", test=["b"])
    assert not find_leaks(tmp_path / "clean").found  # its answers are shared
    assert find_leaks(tmp_path / "clean").answers.verbatim == 4
    other["observation"]["session_1_observation"]["Bo"][0][0] = "ANN works"  # "Bo works." of training
    path = write_json(tmp_path / "planted.json", [sample("a"), other])
    preprocess(path, tmp_path / "planted", test=["b"])
    leaks = find_leaks(tmp_path / "planted")
    assert leaks.found and (leaks.facts.verbatim, leaks.facts.up_to_names, leaks.facts.examples) == (
        0,
        1,
        ["ANN works"],
    )


def test_leaks_need_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_json(tmp_path / "one.json", [sample()])
    assert main(["--input", str(path), "--leaks"]) == 2
    assert "leaks: got '--input'; allowed: --preprocessed DIR" in capsys.readouterr().err


def test_broken_rows_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_json(tmp_path / "two.json", [sample("a"), sample("b")])
    preprocess(path, tmp_path / "out", test=["b"])
    next((tmp_path / "out" / "memories").iterdir()).unlink()
    assert main(["--preprocessed", str(tmp_path / "out"), "--leaks"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["schema_errors"] and report["leaks"] is None


@given(st.lists(st.sampled_from(["Ann", "ann", "Anna", "Bo", "books", "ANN"]), max_size=6), st.data())
def test_up_to_names_agrees_with_the_naive_form(words: list[str], data: st.DataObject) -> None:
    signs = st.text(alphabet=string.punctuation + " ", max_size=3)
    text = "".join(word + " " + data.draw(signs) for word in words)
    assert up_to_names(text, ["Ann", "Bo"]).replace("_", PLACEHOLDER) == naive(text, ["Ann", "Bo"])


def test_names_of_several_words_and_possessives() -> None:
    assert up_to_names("What are Anna's books?", ["Anna"]) == "what are _ s books"
    assert up_to_names("Mary Ann met Ann.", ["Ann", "Mary Ann"]) == "_ met _"
    assert up_to_names("Annabel has 3 cats", ["Ann"]) == "annabel has 3 cats"
