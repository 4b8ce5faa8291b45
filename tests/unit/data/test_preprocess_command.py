"""The command ``python -m memupdate.data.preprocess_locomo``: one line and exit code 2 for what a user can mend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from installed_package import install_into

COMMAND = """
import runpy, sys
sys.modules.update(dict.fromkeys({missing!r}))
sys.argv[1:] = ["--input", "locomo.json", "--output", "rows"]
runpy.run_module("memupdate.data.preprocess_locomo", run_name="__main__", alter_sys=True)
"""


def run(folder: Path, *missing: str, path: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process where these modules cannot be imported."""
    places = [*map(str, path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return subprocess.run(
        [sys.executable, "-c", COMMAND.format(missing=missing)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
    )


def test_without_the_extra_it_names_the_extra(tmp_path: Path) -> None:
    done = run(tmp_path, "pyarrow")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("memupdate preprocess: this needs pyarrow, which is not installed; run: pip install")
    assert done.stderr.count("\n") == 1


def test_two_packages_that_add_the_same_dataset_are_named(tmp_path: Path) -> None:
    sites = []
    for name in ("one", "two"):
        entry = f"[memupdate.datasets]\ndiary = module_{name}:load\n"
        sites.append(install_into(tmp_path / name, entry, name))
    done = run(tmp_path, path=tuple(sites))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(
        "memupdate preprocess: entry point 'diary' of memupdate.datasets: got 'module_two:load'"
    )
    assert "module_one:load has this one" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["--inptu", "x"]])
def test_the_help_and_a_wrong_option(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from memupdate.data.preprocess_locomo import main

    with pytest.raises(SystemExit) as ended:
        main(words)
    captured = capsys.readouterr()
    assert ended.value.code == (0 if words == ["--help"] else 2)
    assert "usage: memupdate preprocess" in captured.out + captured.err
