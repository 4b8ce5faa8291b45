"""Shards: names, where a namespace lives, and the folders of their journals."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memupdate.broker.journal_folders import check_layout, erase_all, journal_folders
from memupdate.broker.routing import shard_name, shard_of
from memupdate.errors import FieldError


def test_a_namespace_has_one_shard_in_every_process_and_shards_get_equal_shares() -> None:
    names = [f"conv-26-qa{number}-4f01449a-s1r{number % 8}" for number in range(2000)]
    here = [shard_of(name, 4) for name in names]
    code = f"from memupdate.broker.routing import shard_of; print([shard_of(name, 4) for name in {names!r}])"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert there.stdout.strip() == str(here)
    assert all(400 < count < 600 for count in Counter(here).values())
    assert {shard_of(name, 1) for name in names} == {0}


@pytest.mark.parametrize("namespace", ["", None, 3, ["a"], "\ud800"])
def test_what_is_no_namespace_has_no_shard(namespace: Any) -> None:
    with pytest.raises(FieldError, match="namespace"):
        shard_of(namespace, 2)


def test_the_first_shard_has_the_brokers_name() -> None:
    assert [shard_name("b", shard) for shard in range(3)] == ["b", "b/1", "b/2"]


def test_every_shard_has_a_journal_of_its_own(tmp_path: Path) -> None:
    assert journal_folders(None, 2) == [None, None]
    assert journal_folders(str(tmp_path), 2) == [tmp_path / "shard-0-of-2", tmp_path / "shard-1-of-2"]


@pytest.mark.parametrize(
    ("journal_dir", "shards", "field"),
    [(None, 0, "broker_shards"), (None, "2", "broker_shards"), (None, True, "broker_shards"), ("", 1, "journal_dir")],
)
def test_a_setting_that_is_not_allowed_is_named(journal_dir: Any, shards: Any, field: str) -> None:
    with pytest.raises(FieldError, match=rf"memory\.{field}"):
        journal_folders(journal_dir, shards)


def test_a_journal_of_another_number_of_shards_is_not_taken_for_empty(tmp_path: Path) -> None:
    for folder in journal_folders(str(tmp_path), 2):
        assert folder is not None
        folder.mkdir()
    check_layout(journal_folders(str(tmp_path), 2))
    check_layout(journal_folders(None, 3))
    with pytest.raises(FieldError, match=r"memory\.broker_shards: got 3; allowed: 2, with which .* was written"):
        check_layout(journal_folders(str(tmp_path), 3))
    erase_all(tmp_path)
    check_layout(journal_folders(str(tmp_path), 3))


def test_the_broker_is_imported_without_ray() -> None:
    code = "import sys, memupdate.broker, memupdate.broker.service; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
