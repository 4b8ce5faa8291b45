"""Datasets and rewards of other packages: one file and one entry point each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed_package import install_into

from memgen.data.examples import read_examples
from memgen.data.formats import FORMATS
from memgen.settings import read_settings
from memgen.tasks import REWARDS
from memupdate.errors import FieldError

CODE = """
from memgen.data.formats import DatasetFormat, text_of


class Riddles(DatasetFormat):
    reward = "contains"

    @staticmethod
    def messages(row, place):
        roles = ("user", "riddle"), ("assistant", "solution")
        return [{"role": role, "content": text_of(row, key, place)} for role, key in roles]


def contains(answer, reference):
    return float(reference in answer)
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install_into(
        tmp_path, "[memgen.datasets]\nriddles = riddles:Riddles\n[memgen.rewards]\ncontains = riddles:contains\n"
    )
    (tmp_path / "riddles.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("riddles", None)


def test_a_dataset_of_another_package_is_read_and_brings_its_reward(installed: None, tmp_path: Path) -> None:
    path = tmp_path / "riddles.jsonl"
    path.write_text(json.dumps({"riddle": "What has keys?", "solution": "a piano"}) + "\n")
    [example] = read_examples(path, "riddles")
    assert (example.prompt[0]["content"], example.reference) == ("What has keys?", "a piano")
    (tmp_path / "settings.yaml").write_text("{}")
    options = ["model.reasoner=base", f"dataset.train_file={path}", "run.output_dir=out", "dataset.format=riddles"]
    settings = read_settings(tmp_path / "settings.yaml", options)
    assert settings.dataset.reward_name == "contains"
    assert REWARDS.load(settings.dataset.reward_name)("It is a piano.", "a piano") == 1.0


def test_a_wrong_name_lists_the_right_ones() -> None:
    assert [FORMATS.load(name).__name__ for name in FORMATS] == ["Instruction", "Conversation", "Gsm8k"]
    with pytest.raises(FieldError, match=r"dataset\.format: got 'riddles'; allowed: one of instruction, conversation"):
        FORMATS.load("riddles")
    with pytest.raises(FieldError, match=r"dataset\.reward: got 'contains'; allowed: one of math, math_first_box"):
        REWARDS.load("contains")
