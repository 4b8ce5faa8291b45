"""What ``docker/install.sh`` asks pip for, and what it says. pip and Python are played by small scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LOCK = "torch==2.13.0\nverl==0.9.1\n"


def shell(script: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script with the functions of ``install.sh``, in a folder of its own."""
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; source {ROOT}/docker/install.sh; {script}"],
        cwd=tmp_path,
        env={"PATH": os.defpath, "HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def pip_calls(tmp_path: Path, fails: str, has: str = "nothing") -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Installs torch with a pip that fails where its arguments match the pattern; returns what pip was asked for.

    ``has`` is the version of torch that is there before.
    """
    program(
        tmp_path / "venv/bin/python",
        f"""case "$*" in *torch.__version__*) [[ "$*" == *"'{has}'"* ]]; exit ;; esac\n"""
        f'echo "$*" >> calls; case "$*" in {fails}) echo "ERROR: a wall of text" >&2; exit 1 ;; esac',
    )
    (tmp_path / "lock.txt").write_text(LOCK)
    done = shell("install_cpu_torch venv lock.txt", tmp_path)
    calls = tmp_path / "calls"
    return calls.read_text().splitlines() if calls.exists() else [], done


def test_a_cpu_build_that_pip_finds_is_taken_without_asking_another_index(tmp_path: Path) -> None:
    calls, done = pip_calls(tmp_path, fails="never")
    assert len(calls) == 1
    assert calls[0].endswith("--no-deps torch==2.13.0+cpu")
    assert (done.returncode, done.stderr) == (0, "")


def test_pytorch_s_cpu_index_is_asked_next_and_briefly(tmp_path: Path) -> None:
    calls, done = pip_calls(tmp_path, fails="*'--no-deps torch==2.13.0+cpu'")
    assert len(calls) == 2
    assert calls[1].endswith(f"--no-deps --timeout 15 --retries 1 --extra-index-url {CPU_INDEX} torch==2.13.0+cpu")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_cpu_build_torch_comes_with_its_libraries_and_one_line_says_so(tmp_path: Path) -> None:
    calls, done = pip_calls(tmp_path, fails="*+cpu")
    assert len(calls) == 3
    assert "--no-deps" not in calls[2]
    assert calls[2].endswith("--constraint lock.txt torch==2.13.0")
    assert done.returncode == 0
    assert done.stderr.startswith("no CPU build of torch==2.13.0 found") and done.stderr.count("\n") == 1
    assert (tmp_path / "venv/cpu-torch.log").read_text().count("a wall of text") == 2


def test_a_torch_that_is_there_and_works_stays(tmp_path: Path) -> None:
    calls, done = pip_calls(tmp_path, fails="never", has="2.13.0")
    assert (calls, done.returncode, done.stderr) == ([], 0, "")
    assert len(pip_calls(tmp_path, fails="never", has="2.12.0")[0]) == 1


def test_what_cannot_be_installed_at_all_ends_the_script_with_pip_s_error(tmp_path: Path) -> None:
    _, done = pip_calls(tmp_path, fails="*torch*")
    assert done.returncode == 1
    assert done.stderr.endswith("ERROR: a wall of text\n")


@pytest.mark.parametrize("broken", ["torch", "verl", "ray"])
def test_a_package_that_does_not_import_is_named_in_one_line(broken: str, tmp_path: Path) -> None:
    for name in ("torch", "verl", "ray"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / f"{broken}.py").write_text("raise ImportError('libcudnn.so.9:\\ncannot open shared object file')\n")
    program(tmp_path / "venv/bin/python", f'PYTHONPATH={tmp_path} exec {sys.executable} "$@"')
    done = shell("prove_imports venv; echo went on", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("memupdate: the installation in ") and done.stderr.count("\n") == 1
    assert done.stderr.endswith(f" does not work: import {broken}: libcudnn.so.9: cannot open shared object file\n")


def test_the_lock_for_gpus_gets_the_python_that_it_is_for(tmp_path: Path) -> None:
    """Its pins need Python 3.12; the lock for CPUs works with 3.11 too."""
    for version in ("3.11", "3.12"):
        program(tmp_path / f"bin/python{version}", f"echo {version}")
    path = f"{tmp_path}/bin:{os.defpath}"
    assert shell("find_python 3.11 3.12", tmp_path, PATH=path).stdout == "python3.11\n"
    assert shell("find_python 3.12", tmp_path, PATH=path).stdout == "python3.12\n"
    none = shell("find_python 3.98 3.99", tmp_path, PATH=path)
    assert (none.returncode, none.stdout) == (2, "")
    assert none.stderr == "memupdate: no Python 3.98 or 3.99 found; set MEMUPDATE_PYTHON to one\n"


@pytest.mark.parametrize(
    ("gpus", "lock", "python"),
    [("GPU 0: H200", "requirements-gpu.txt", "3.12"), ("No devices were found", "requirements-cpu.txt", "3.11")],
)
def test_one_venv_from_the_lock_of_this_machine_installed_once(
    gpus: str, lock: str, python: str, tmp_path: Path
) -> None:
    program(tmp_path / "bin/nvidia-smi", f"echo '{gpus}'")
    program(tmp_path / "venv_python", 'echo "$*" >> calls; [[ "$*" != *torch.__version__* ]]')
    making = "mkdir -p .venv/bin; cp venv_python .venv/bin/python"
    for version in ("3.11", "3.12"):  # says its version, or makes a venv
        script = f'if [ "$1" = -c ]; then echo {version}; else echo {version} > made_with; {making}; fi'
        program(tmp_path / f"bin/python{version}", script)
    (tmp_path / "docker").mkdir()
    for name in ("cpu", "gpu", "test"):
        (tmp_path / f"docker/requirements-{name}.txt").write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text("")
    path = f"{tmp_path}/bin:{os.defpath}"

    first = shell("install_into .venv run", tmp_path, PATH=path)
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "made_with").read_text() == f"{python}\n"
    calls = (tmp_path / "calls").read_text()
    assert f"--no-deps -r docker/{lock}\n" in calls and "requirements-test" not in calls
    assert ("+cpu" in calls) == (lock == "requirements-cpu.txt")  # the lock for GPUs names torch's libraries itself
    assert calls.index("--no-deps --no-build-isolation -e .") < calls.index("import importlib, sys")

    again = shell("install_into .venv run", tmp_path, PATH=path)
    assert (again.stderr, (tmp_path / "calls").read_text()) == ("", calls)
    (tmp_path / f"docker/{lock}").write_text(LOCK + "ray==2.60.0\n")
    assert shell("install_into .venv run", tmp_path, PATH=path).returncode == 0
    assert len((tmp_path / "calls").read_text()) > len(calls)
