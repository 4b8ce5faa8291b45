"""The screen of the first command: its own lines, and nothing that a library prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from memupdate.policy import PolicySettings
from memupdate.run import warm_start
from memupdate.run.job import Job

SMALL = ["steps=2", "trajectories=20", "drills=10"]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "memupdate", *arguments], capture_output=True, text=True, timeout=120, check=True
    )


def test_a_dry_run_prints_one_line(tmp_path: Path) -> None:
    done = command("run", "--runs", str(tmp_path / "runs"), "--dry-run")
    config = tmp_path / "runs" / "local-dry-run.yaml"
    assert done.stdout == f"local profile is valid; its config: {config}\n"
    assert done.stderr == ""


def test_making_the_policy_prints_one_line(tmp_path: Path, synthetic_data: Path) -> None:
    done = command("make-policy", "--output", str(tmp_path / "policy"), "--corpus", str(synthetic_data))
    assert done.stdout == ""
    assert re.fullmatch(re.escape(str(tmp_path / "policy")) + r": \d+ parameters, \d+ tokens\n", done.stderr)


def test_the_policys_stage_prints_nothing_of_its_libraries(
    tmp_path: Path, synthetic_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its own lines go through logging, which pytest keeps off the screen."""
    monkeypatch.setattr(warm_start, "warm_start", lambda folder, settings: folder / "initial")
    job = Job("local", None, tmp_path, policy=PolicySettings.parse(SMALL))
    assert (warm_start.prepare_policy(job, synthetic_data) / "model.safetensors").is_file()
    assert capfd.readouterr() == ("", "")
