"""Preprocessing: rows U1-U3, U5-U7 and L12.

Rows L12, U1, U2, U3, U5, U6, U7.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small import sample, write_json

from memupdate.data.facts import initial_memories, read_initial_memories
from memupdate.data.locomo import load_locomo
from memupdate.data.preprocess import main, preprocess
from memupdate.data.prompts import SYSTEM_PROMPT
from memupdate.errors import DataError, FieldError

COUNTS = {
    "conv-26": 184,
    "conv-30": 169,
    "conv-41": 324,
    "conv-42": 266,
    "conv-43": 267,
    "conv-44": 277,
    "conv-47": 268,
    "conv-48": 291,
    "conv-49": 240,
    "conv-50": 255,
}


def rows_of(directory: Path, split: str) -> list[dict[str, Any]]:
    return pq.read_table(directory / f"{split}.parquet").to_pylist()


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def real(locomo_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("real") / "out"
    assert main(["--input", str(locomo_json), "--output", str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def small_run(corpus_json: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("small") / "out"
    preprocess(corpus_json, directory)
    return directory


def test_u1_rows_of_the_real_file(real: Path) -> None:
    train, test = rows_of(real, "train"), rows_of(real, "test")
    assert (len(train), len(test)) == (1440, 546)
    assert list(dict.fromkeys(row["extra_info"]["sample_id"] for row in train)) == [
        f"conv-{number}" for number in (48, 42, 41, 49, 44, 47, 50)
    ]
    assert list(dict.fromkeys(row["extra_info"]["sample_id"] for row in test)) == ["conv-43", "conv-26", "conv-30"]


def test_u1_u6_rows_without_category_5(locomo_json: Path, tmp_path: Path) -> None:
    dropped = preprocess(locomo_json, tmp_path / "dropped", adversarial="drop")
    chosen = preprocess(locomo_json, tmp_path / "chosen", categories=[4, 3, 2, 1])
    for manifest in (dropped, chosen):
        assert [manifest["splits"][split]["rows"] for split in ("train", "test")] == [1129, 411]
    assert rows_of(tmp_path / "dropped", "test") == rows_of(tmp_path / "chosen", "test")
    assert all(row["extra_info"]["category"] != 5 for row in rows_of(tmp_path / "dropped", "train"))


def test_u1_command_line_is_quiet(corpus_json: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--input", str(corpus_json), "--output", str(tmp_path / "out")]) == 0
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "memories",
        "questions",
        "sessions",
        "test-session.parquet",
        "test.parquet",
        "train-session.parquet",
        "train.parquet",
    ]


def test_u1_row_schema(small_run: Path, corpus_json: Path) -> None:
    questions = {(c.sample_id, q.index): q for c in load_locomo(corpus_json) for q in c.questions}
    for split in ("train", "test"):
        for index, row in enumerate(rows_of(small_run, split)):
            info = row["extra_info"]
            question = questions[info["sample_id"], info["qa_index"]]
            assert set(row) == {"prompt", "data_source", "ability", "reward_model", "agent_name", "extra_info"}
            assert row["prompt"] == [
                {"role": "system", "content": SYSTEM_PROMPT},
                {"role": "user", "content": question.text},
            ]
            assert (row["data_source"], row["ability"], row["agent_name"]) == ("locomo", "memory", "memory_agent")
            assert row["reward_model"] == {"style": "memory", "ground_truth": info["answer"]}
            assert (info["split"], info["index"]) == (split, index)
            assert info["question"] == question.text and info["category"] == question.category
            assert info["evidence"] == list(question.evidence.ids)
            assert info["adversarial_answer"] == question.adversarial_answer
            assert (info["episode"], info["bank"], info["last_turn"]) == ("question", info["sample_id"], "")
            assert (info["session"], info["part"], info["parts"]) == (0, 0, 0)
            assert set(info) == {
                *("split", "index", "sample_id", "qa_index", "namespace", "question", "answer"),
                *(
                    "category",
                    "evidence",
                    "adversarial_answer",
                    "episode",
                    "session",
                    "part",
                    "parts",
                    "bank",
                    "last_turn",
                ),
            }


def test_the_answer_is_not_in_the_prompt(real: Path) -> None:
    """The prompt is the fixed system prompt and the question; no gold answer stands in the system prompt."""
    assert len(SYSTEM_PROMPT.split()) <= 60
    words = set(re.findall(r"\w+", SYSTEM_PROMPT.lower()))
    for row in rows_of(real, "train") + rows_of(real, "test"):
        info = row["extra_info"]
        assert [message["content"] for message in row["prompt"]] == [SYSTEM_PROMPT, info["question"]]
        answer = set(re.findall(r"\w+", info["answer"].lower()))
        assert not answer or not answer <= words, info["answer"]


def test_u2_two_runs_are_byte_identical(corpus_json: Path, small_run: Path, tmp_path: Path) -> None:
    preprocess(corpus_json, tmp_path / "again")
    first, second = tree(small_run), tree(tmp_path / "again")
    assert first == second and len(first) == 35  # five files, and three for each conversation
    # Over an earlier run, too.
    preprocess(corpus_json, tmp_path / "again", seed=1)
    assert tree(tmp_path / "again") != first
    preprocess(corpus_json, tmp_path / "again")
    assert tree(tmp_path / "again") == first
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.parametrize(("seed", "count"), [(42, 7), (0, 3), (-5, 9)])
def test_u2_split_by_seed_and_count(corpus_json: Path, tmp_path: Path, seed: int, count: int) -> None:
    manifest = preprocess(corpus_json, tmp_path / "out", seed=seed, train_conversations=count)
    order = list(range(10))
    random.Random(seed).shuffle(order)
    names = [f"syn-{index + 1}" for index in order]
    assert manifest["splits"]["train"]["conversations"] == names[:count]
    assert manifest["splits"]["test"]["conversations"] == names[count:]


def test_u2_split_by_names_and_categories(corpus_json: Path, tmp_path: Path) -> None:
    arguments = ["--input", str(corpus_json), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--test", "syn-4", "syn-2", "--categories", "1", "4"]) == 0
    train, test = rows_of(tmp_path / "out", "train"), rows_of(tmp_path / "out", "test")
    assert list(dict.fromkeys(row["extra_info"]["sample_id"] for row in test)) == ["syn-4", "syn-2"]
    assert {row["extra_info"]["sample_id"] for row in train} == {f"syn-{n}" for n in (1, 3, 5, 6, 7, 8, 9, 10)}
    assert {row["extra_info"]["category"] for row in train + test} == {1, 4}


def test_u2_limit_questions(corpus_json: Path, tmp_path: Path) -> None:
    chosen: list[list[tuple[str, int]]] = []
    for seed in (1, 1, 2):
        preprocess(corpus_json, tmp_path / "out", seed=seed, limit_questions=3, test=["syn-1"])
        rows = rows_of(tmp_path / "out", "train")
        chosen.append([(row["extra_info"]["sample_id"], row["extra_info"]["qa_index"]) for row in rows])
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 27 and chosen[0] == sorted(chosen[0], key=lambda key: (int(key[0][4:]), key[1]))
    assert (
        preprocess(corpus_json, tmp_path / "all", limit_questions=10_000)["splits"]
        == preprocess(corpus_json, tmp_path / "none")["splits"]
    )


def test_u2_manifest(corpus_json: Path, small_run: Path) -> None:
    manifest = json.loads((small_run / "manifest.json").read_text())
    assert manifest["input"]["sha256"] == hashlib.sha256(corpus_json.read_bytes()).hexdigest()
    for split in ("train", "test"):
        rows = rows_of(small_run, split)
        assert manifest["splits"][split]["rows"] == len(rows)
        assert sum(manifest["splits"][split]["categories"].values()) == len(rows)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--train-conversations", "0"], "train_conversations"),
        (["--train-conversations", "10"], "train_conversations"),
        (["--train-conversations", "-1"], "train_conversations"),
        (["--test", "syn-99"], "test"),
        (["--test", "syn-1", "syn-1"], "test"),
        (["--test", *(f"syn-{number}" for number in range(1, 11))], "test"),
        (["--categories", "0"], "categories"),
        (["--categories", "6"], "categories"),
        (["--categories", "5", "--adversarial", "drop"], "categories"),
        (["--categories", "3"], "categories"),
        (["--adversarial", "keep"], "adversarial"),
        (["--limit-questions", "0"], "limit_questions"),
        (["--output", "/dev/null/x"], "output"),
    ],
)
def test_u2_wrong_options_exit_with_2(
    corpus_json: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], field: str
) -> None:
    out = tmp_path / "out"
    assert main(["--input", str(corpus_json), "--output", str(out), *options]) == 2
    message = capsys.readouterr().err
    assert f"{field}: got" in message and "allowed:" in message and "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_u2_count_and_names_exclude_each_other(corpus_json: Path, tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="train_conversations"):
        preprocess(corpus_json, tmp_path / "out", train_conversations=2, test=["syn-1"])


def test_wrong_input_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.json").write_text('[{"sample_id": "conv')
    for name in ("none.json", "cut.json"):
        assert main(["--input", str(tmp_path / name), "--output", str(tmp_path / "out")]) == 2
        assert name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_foreign_directories_are_left_alone(corpus_json: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("mine", "file"):
        with pytest.raises(FieldError, match="output"):
            preprocess(corpus_json, tmp_path / name)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_failed_run_leaves_the_old_directory(tmp_path: Path) -> None:
    path = write_json(tmp_path / "two.json", [sample("a"), sample("b")])
    preprocess(path, tmp_path / "out", train_conversations=1)
    before = tree(tmp_path / "out")
    broken = sample("b")
    broken["observation"]["session_1_observation"]["Ann"][0][0] = "x" * 8001
    write_json(path, [sample("a"), broken])
    with pytest.raises(DataError, match="b, session 1, fact 1"):
        preprocess(path, tmp_path / "out", train_conversations=1)
    assert tree(tmp_path / "out") == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "two.json"]


def test_u3_trajectory_ids(real: Path, small_run: Path) -> None:
    for directory in (real, small_run):
        rows = rows_of(directory, "train") + rows_of(directory, "test")
        names = [row["extra_info"]["namespace"] for row in rows]
        assert len(set(names)) == len(names)
        for row, name in zip(rows, names, strict=True):
            info = row["extra_info"]
            assert re.fullmatch(rf"{info['sample_id']}-qa{info['qa_index']}-[0-9a-f]{{8}}", name)


def test_u3_trajectory_ids_depend_on_the_seed_and_on_nothing_else(corpus_json: Path, tmp_path: Path) -> None:
    def ids(**options: Any) -> dict[tuple[str, int], str]:
        preprocess(corpus_json, tmp_path / "out", **options)
        infos = [row["extra_info"] for split in ("train", "test") for row in rows_of(tmp_path / "out", split)]
        return {(info["sample_id"], info["qa_index"]): info["namespace"] for info in infos}

    full, other_split, other_seed = ids(), ids(test=["syn-3"], adversarial="drop"), ids(seed=7)
    assert other_split.items() < full.items()
    assert full.keys() == other_seed.keys() and all(full[key] != other_seed[key] for key in full)


def test_u5_initial_memories(real: Path, locomo_json: Path) -> None:
    raw = {one["sample_id"]: one for one in json.loads(locomo_json.read_bytes())}
    total = 0
    for sample_id, count in COUNTS.items():
        memories = read_initial_memories(real, sample_id)
        assert len(memories) == count
        total += count
        talk = raw[sample_id]["conversation"]
        facts = [
            (int(key.split("_")[1]), speaker, text.strip())
            for key, per_speaker in raw[sample_id]["observation"].items()
            for speaker, entries in per_speaker.items()
            for text, _ in entries
        ]
        assert [(memory.session, memory.speaker, memory.content) for memory in memories] == facts
        for number, memory in enumerate(memories, 1):
            assert memory.id == f"m{number}" and memory.memory_type == "episodic"
            assert memory.speaker in (talk["speaker_a"], talk["speaker_b"])
            assert memory.evidence and all(one.startswith(f"D{memory.session}:") for one in memory.evidence)
            assert memory.source == f"{sample_id}/session_{memory.session}"
    assert total == 2541
    assert sorted(path.stem for path in (real / "memories").iterdir()) == sorted(COUNTS)


def test_u5_small_memories_in_full(tmp_path: Path) -> None:
    (conversation,) = load_locomo(write_json(tmp_path / "small.json", [sample()]))
    first, second, third = initial_memories(conversation)
    assert (first.id, first.content, first.speaker, first.session) == ("m1", "Ann moved and cooks soup.", "Ann", 1)
    assert (second.id, second.evidence, second.source) == ("m2", ("D1:2",), "conv-1/session_1")
    assert (third.id, third.session, third.session_date) == ("m3", 2, "9:05 am on 1 June, 2023")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id": "m1"', "a.jsonl:1: expected a memory as one complete JSON object"),
        ("[]", "a.jsonl:1: expected a memory"),
        ('{"id": "m1"}', "a.jsonl:1: expected a memory"),
        ('{"id": "m1", "content": "x", "colour": "red"}', "a.jsonl:1: expected a memory"),
        ('{"id": "m7", "content": "x"}', "a.jsonl:1: expected the id 'm1'"),
        ("\n", "a.jsonl:1"),
    ],
)
def test_u5_broken_memory_files(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "memories").mkdir()
    (tmp_path / "memories" / "a.jsonl").write_text(text)
    with pytest.raises(DataError, match=re.escape(expected)):
        read_initial_memories(tmp_path, "a")
    with pytest.raises(DataError, match="missing"):
        read_initial_memories(tmp_path, "missing")


def test_u6_integer_answers_are_text_and_adversarial_ones_abstain(real: Path, locomo_json: Path) -> None:
    raw = {one["sample_id"]: one["qa"] for one in json.loads(locomo_json.read_bytes())}
    numbers = 0
    for row in rows_of(real, "train") + rows_of(real, "test"):
        info = row["extra_info"]
        item = raw[info["sample_id"]][info["qa_index"]]
        if info["category"] == 5:
            assert info["answer"] == "No information available"
            assert info["adversarial_answer"] == item["adversarial_answer"].strip()
        else:
            assert info["answer"] == str(item["answer"]).strip() and info["adversarial_answer"] is None
            numbers += isinstance(item["answer"], int)
    assert numbers == 6


def test_u7_the_session_date_is_on_every_memory(real: Path, locomo_json: Path) -> None:
    for one in json.loads(locomo_json.read_bytes()):
        for memory in read_initial_memories(real, one["sample_id"]):
            assert memory.session_date == one["conversation"][f"session_{memory.session}_date_time"]
            assert memory.session_date.split(" on ")[1] in memory.text


def test_l12_dates_make_temporal_answers_findable(locomo_json: Path) -> None:
    """With facts alone 27 of 321 temporal answers stand in one; the session dates raise what can be found."""

    def words(text: str) -> set[str]:
        return set(re.findall(r"\w+", text.lower()))

    verbatim = with_date = without = total = 0
    for conversation in load_locomo(locomo_json):
        memories = initial_memories(conversation)
        texts = [(words(memory.content), words(memory.text)) for memory in memories]
        for question in conversation.questions:
            if question.category == 2:
                total += 1
                answer = question.answer or ""
                verbatim += any(answer.lower() in memory.content.lower() for memory in memories)
                without += any(words(answer) <= content for content, _ in texts)
                with_date += any(words(answer) <= text for _, text in texts)
    assert (verbatim, total) == (27, 321)
    # In any order of words ("8 May 2023" for "8 May, 2023").
    assert (without, with_date) == (28, 87)
