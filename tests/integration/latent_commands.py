"""What the tests of latent training share: the scripts that users call, and ways to end and to compare runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def words(options: dict[str, Any]) -> list[str]:
    return [str(word) for pair in options.items() for word in pair]


def script(name: str, dataset: str, options: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / name), dataset, *words(options)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def digest(model: Path) -> dict[str, str]:
    """SHA-256 of every file of weights."""
    files = sorted(model.rglob("*.safetensors"))
    return {str(file.relative_to(model)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a process and everything that it started."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=30)
    process.wait(timeout=30)
