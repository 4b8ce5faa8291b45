"""Files of generated corpora: written and read one conversation at a time, with splits that preprocessing keeps."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from small import sample, write_json

from memupdate.data.datasets import load_dataset
from memupdate.data.locomo import load_locomo
from memupdate.data.preprocess import preprocess
from memupdate.data.synthetic import load_synthetic, main, synthetic_corpus, write_corpus
from memupdate.errors import DataError, FieldError


def conversations_of(manifest: dict[str, Any]) -> list[list[str]]:
    return [manifest["splits"][split]["conversations"] for split in ("train", "test")]


def test_a_conversation_depends_on_seed_and_number_only() -> None:
    longer = list(synthetic_corpus(4, 2, seed=5))
    shorter = list(synthetic_corpus(3, 1, seed=5))
    assert shorter == [*longer[:3], longer[4]]
    assert shorter[0] != next(synthetic_corpus(1, 1, seed=6))
    texts = {json.dumps(one["conversation"]) for one in longer}
    assert len(texts) == 6


@pytest.mark.parametrize("sessions", [5, 12])
def test_the_number_of_sessions_is_an_option(sessions: int) -> None:
    for one in synthetic_corpus(30, 10, sessions=sessions):
        talk = one["conversation"]
        lengths = [len(value) for value in talk.values() if isinstance(value, list)]
        assert len(lengths) == sessions and min(lengths) >= 8 and max(lengths) <= 16


def test_generating_takes_constant_memory(tmp_path: Path) -> None:
    def peak(conversations: int) -> int:
        tracemalloc.start()
        write_corpus(tmp_path / "corpus.json", conversations, 1)
        for _ in load_synthetic(tmp_path / "corpus.json"):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(2)  # what is loaded once
    # Twenty conversations more are 300 kB of text.
    assert peak(24) < peak(4) + 100_000


def test_a_corpus_is_read_lazily_and_as_locomos_file(tmp_path: Path) -> None:
    path = tmp_path / "corpus.json"
    write_corpus(path, 3, 2, seed=9)
    assert json.loads(path.read_text()) == list(synthetic_corpus(3, 2, seed=9))
    assert load_dataset("synthetic", path) == load_locomo(path)
    # The first conversation comes before the error in the third line is met.
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "{broken\n"]))
    assert [one.sample_id for one in itertools.islice(load_synthetic(path), 1)] == ["syn-train-1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "expected a complete corpus"),
        (lambda lines: [*lines[:3], lines[3][:50]], "one conversation per line"),
        (lambda lines: lines[1:], r":1: expected what memupdate synthetic writes, got '\{"),
        (lambda lines: [*lines, "3\n"], r":6: expected what memupdate synthetic writes, got '3"),
        (lambda lines: [lines[0], "{}\n", *lines[2:]], r":2: \[0\]: expected the key 'sample_id'"),
        (lambda lines: [], "expected a complete corpus"),
    ],
)
def test_files_that_are_no_corpus_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "corpus.json"
    write_corpus(path, 2, 1)
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    with pytest.raises(DataError, match=message):
        load_dataset("synthetic", path)
    with pytest.raises(DataError, match=r"none\.json"):
        load_dataset("synthetic", tmp_path / "none.json")


def test_preprocessing_keeps_the_split_of_the_dataset(tmp_path: Path) -> None:
    path = tmp_path / "corpus.json"
    write_corpus(path, 8, 3)
    named = [[f"syn-train-{n}" for n in range(1, 9)], [f"syn-test-{n}" for n in range(1, 4)]]
    for dataset in ("synthetic", "locomo"):
        assert conversations_of(preprocess(path, tmp_path / "out", dataset=dataset)) == named
    # An option overrides it.
    by_count = conversations_of(preprocess(path, tmp_path / "out", train_conversations=4))
    assert [len(part) for part in by_count] == [4, 7] and by_count[0] != named[0][:4]
    by_name = conversations_of(preprocess(path, tmp_path / "out", test=["syn-train-2"]))
    assert by_name[1] == ["syn-train-2"]


@pytest.mark.parametrize(
    ("splits", "error", "message"),
    [
        (("train", "train"), FieldError, "split: got 'train for all conversations'; allowed: .* one test"),
        (("test", "test"), FieldError, "split: got 'test for all conversations'; allowed: .* one train"),
        (("train", None), DataError, "expected a split of all conversations or of none, got none of 'b'"),
        (("train", "dev"), DataError, r"\[1\]\.split: expected one of train, test, got 'dev'"),
        (("train", 3), DataError, r"\[1\]\.split: expected one of train, test, got 3"),
    ],
)
def test_splits_that_cannot_be_kept_are_refused(
    tmp_path: Path, splits: tuple[Any, Any], error: type[Exception], message: str
) -> None:
    both = [sample("a"), sample("b")]
    for one, split in zip(both, splits, strict=True):
        if split is not None:
            one["split"] = split
    path = write_json(tmp_path / "two.json", both)
    with pytest.raises(error, match=message):
        preprocess(path, tmp_path / "out")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "deep" / "a.json", tmp_path / "b.json"
    for path in (first, second):
        assert main(["--output", str(path), "--conversations", "2", "--held-out", "1", "--seed", "9"]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(first.read_text()) == list(synthetic_corpus(2, 1, seed=9))
    for option, allowed in (
        ("conversations", "a whole number from 1 to 10,000"),
        ("held_out", "a whole number from 1 to 10,000"),
        ("sessions", "a whole number from 5 to 12"),
    ):
        assert main(["--output", str(first), f"--{option.replace('_', '-')}", "0"]) == 2
        assert f"{option}: got 0; allowed: {allowed}" in capsys.readouterr().err
    assert main(["--output", str(tmp_path), "--conversations", "1"]) == 2
    assert "output" in capsys.readouterr().err
    with pytest.raises(FieldError):
        synthetic_corpus(10_001)
