"""Functions that all benchmarks share: the command line, and the results file with machine, versions and commit."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def arguments(name: str, description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smoke run, whose figures mean nothing")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", help="the results file")
    return parser


def circumstances() -> dict[str, Any]:
    """Returns the machine, the versions of packages and the commit."""
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    return {
        "machine": {
            "processor": processor,
            "cores": len(os.sched_getaffinity(0)),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        },
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "verl", "ray", "sglang", "numpy")}
        | {"python": platform.python_version()},
        "commit": commit.stdout.strip() + ("-changed" if changed.stdout.strip() else ""),
    }


def write(path: Path, figures: dict[str, Any]) -> None:
    """Writes figures and ``circumstances`` to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**figures, **circumstances()}, indent=1) + "\n")
