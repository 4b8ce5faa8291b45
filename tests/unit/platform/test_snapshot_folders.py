"""Snapshot folders in a tmpfs that containers share: swept only if their owner is provably dead."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memupdate.platform.rollout.snapshot_folder import make_root

OWNER = """
import sys
from memupdate.platform.rollout.snapshot_folder import make_root
root = make_root(sys.argv[1])
(root / "v7").mkdir()
print(root, flush=True)
sys.stdin.read()
"""
DEADLINE_S = 20


def owner(parent: Path, *prefix: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", OWNER, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def has_pid_namespaces() -> bool:
    words = ["unshare", "--fork", "--pid", "--kill-child", "true"]
    return (
        shutil.which("unshare") is not None and subprocess.run(words, capture_output=True, check=False).returncode == 0
    )


def test_a_second_container_leaves_a_live_folder_and_removes_a_dead_one(tmp_path: Path) -> None:
    """The first owner has a pid that means nothing to the second, which takes it for the pid of a dead process."""
    if not has_pid_namespaces():
        pytest.skip("needs the right to make a pid namespace")
    process, live = owner(tmp_path, "unshare", "--fork", "--pid", "--kill-child")
    try:
        number = live.name.split("_")[2]
        assert int(number) < 100  # a pid of the namespace
        renamed = live.with_name(live.name.replace(f"_{number}_", "_4194303_"))  # surely no process of ours
        live.rename(renamed)
        make_root(str(tmp_path))
        assert (renamed / "v7").is_dir()
        foreign = tmp_path / "memupdate_policy_4194303_notours"
        foreign.mkdir()
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)
    mine = make_root(str(tmp_path))
    assert not renamed.exists()
    assert foreign.is_dir()  # nothing proves whose it is
    assert mine.is_dir() and str(os.getpid()) in mine.name
