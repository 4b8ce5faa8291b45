"""Checkpoints that a kill cannot spoil.

Rows U36.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from memupdate.errors import DataError, FieldError
from memupdate.platform import checkpoints
from memupdate.platform.checkpoints import RunState


def make(root: Path, step: int, complete: bool = True) -> Path:
    folder = root / f"global_step_{step}"
    checkpoints.begin(folder)
    (folder / "actor").mkdir(parents=True)
    torch.save({"weight": torch.full((2, 3), float(step))}, folder / "actor" / "model_world_size_1_rank_0.pt")
    if complete:
        checkpoints.finish(folder, RunState(step, rows_drawn=8 * step, data_seed=1))
    return folder


def test_u36_recover_takes_the_newest_complete_checkpoint_and_renames_the_half_written_one(tmp_path: Path) -> None:
    make(tmp_path, 9)
    make(tmp_path, 10)  # a number with more digits sorts after 9
    half = make(tmp_path, 11, complete=False)
    (tmp_path / checkpoints.TRACKER).write_text("11")
    assert checkpoints.recover(tmp_path) == tmp_path / "global_step_10"
    assert not half.exists()
    assert (tmp_path / "interrupted_step_11" / "actor" / "model_world_size_1_rank_0.pt").is_file()
    assert (tmp_path / checkpoints.TRACKER).read_text() == "10"


def test_u36_recover_mends_an_empty_tracker(tmp_path: Path) -> None:
    """A kill between verl's open and write leaves an empty tracker, at which verl's own resume fails."""
    make(tmp_path, 3)
    (tmp_path / checkpoints.TRACKER).write_text("")
    assert checkpoints.recover(tmp_path) == tmp_path / "global_step_3"
    assert (tmp_path / checkpoints.TRACKER).read_text() == "3"


def test_recover_without_a_complete_checkpoint_starts_anew(tmp_path: Path) -> None:
    assert checkpoints.recover(tmp_path / "absent") is None
    make(tmp_path, 1, complete=False)
    (tmp_path / checkpoints.TRACKER).write_text("1")
    assert checkpoints.recover(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["interrupted_step_1"]
    make(tmp_path, 1, complete=False)  # the next start was killed at the same step
    assert checkpoints.recover(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["interrupted_step_1"]


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """Two checkpoints as stock verl writes them."""
    for step in (20, 40):
        (tmp_path / f"global_step_{step}" / "actor").mkdir(parents=True)
        (tmp_path / f"global_step_{step}" / "actor" / "model_world_size_1_rank_0.pt").write_bytes(b"weights")
        (tmp_path / f"global_step_{step}" / "data.pt").write_bytes(b"data")
    (tmp_path / checkpoints.TRACKER).write_text("40")
    return tmp_path


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_checkpoints_of_another_program_stay_as_they_are(stock: Path) -> None:
    before = content(stock)
    with pytest.raises(FieldError, match=r"default_local_dir.*global_step_20.*actor_rollout_ref\.model\.path"):
        checkpoints.recover(stock)
    with pytest.raises(FieldError, match="default_local_dir"):
        checkpoints.refuse_foreign(stock)
    with pytest.raises(FieldError, match="global_step_40"):
        checkpoints.begin(stock / "global_step_40")
    assert content(stock) == before


def test_a_folder_with_ours_and_theirs_is_refused_and_none_is_removed(stock: Path) -> None:
    for step in (41, 42, 43):
        make(stock, step)
    checkpoints.keep_newest(stock, 2)
    assert {path.name for path in stock.glob("global_step_*")} == {f"global_step_{n}" for n in (20, 40, 42, 43)}
    half = make(stock, 44, complete=False)
    with pytest.raises(FieldError, match="global_step_20"):
        checkpoints.recover(stock)
    assert half.is_dir() and (stock / checkpoints.TRACKER).read_text() == "40"


def test_a_checkpoint_that_is_written_again_is_incomplete_meanwhile(tmp_path: Path) -> None:
    folder = make(tmp_path, 3)
    checkpoints.begin(folder)
    assert checkpoints.complete_checkpoints(tmp_path) == []


def test_keep_newest_counts_complete_checkpoints_only(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        make(tmp_path, step)
    make(tmp_path, 4, complete=False)
    checkpoints.keep_newest(tmp_path, 2)
    assert {folder.name for folder in tmp_path.iterdir()} == {"global_step_2", "global_step_3", "global_step_4"}


def test_state_round_trip_and_missing_state(tmp_path: Path) -> None:
    folder = make(tmp_path, 5)
    assert checkpoints.read_state(folder) == RunState(5, 40, 1)
    with pytest.raises(DataError, match="not a complete checkpoint"):
        checkpoints.read_state(make(tmp_path, 6, complete=False))


def test_write_atomically_leaves_no_partial_file(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    checkpoints.write_atomically(target, "one")
    checkpoints.write_atomically(target, "two")
    assert target.read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]


def test_digest_sees_content_dtype_shape_and_not_order_of_keys() -> None:
    tensor = torch.arange(6.0)
    base = checkpoints.digest({"a": tensor, "b": [1, np.arange(3)]})
    assert base == checkpoints.digest({"b": [1, np.arange(3)], "a": tensor.clone()})
    changed = [
        {"a": tensor + 1e-7, "b": [1, np.arange(3)]},
        {"a": tensor.double(), "b": [1, np.arange(3)]},
        {"a": tensor.reshape(2, 3), "b": [1, np.arange(3)]},
        {"a": tensor, "b": [2, np.arange(3)]},
        {"a": tensor, "b": [1, np.arange(3) + 1]},
    ]
    assert all(checkpoints.digest(value) != base for value in changed)


def test_checkpoint_digests_name_every_part(tmp_path: Path) -> None:
    first = checkpoints.checkpoint_digests(make(tmp_path / "a", 5))
    same = checkpoints.checkpoint_digests(make(tmp_path / "b", 5))
    assert set(first) == {"state", "model_world_size_1_rank_0"}
    assert first == same
    other = checkpoints.checkpoint_digests(make(tmp_path / "a", 6))
    assert all(first[part] != other[part] for part in first)
