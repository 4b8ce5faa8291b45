"""The docs' commands run, and the README's two commands are what CI and users call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def environment() -> dict[str, str]:
    """The commands find ``memupdate`` and ``python`` where the tests run, and this checkout."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }


def marked(page: Path) -> list[str]:
    """Shell blocks under a ``<!-- run -->`` comment."""
    return re.findall(r"<!-- run -->\n```bash\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if marked(page)], ids=lambda page: page.name)
def test_marked_commands_run(page: Path, tmp_path: Path) -> None:
    for block in marked(page):
        script = "set -euo pipefail\n" + block
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]


# test_extending.py runs what is on extending.md, where the page's own files are installed.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "extending.md"], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        command = [sys.executable, "-c", block]
        subprocess.run(command, check=True, timeout=120, cwd=tmp_path, env=environment())


def test_the_readme_uses_a_bank_in_five_lines() -> None:
    """``test_light_core.py`` runs them where the core alone is installed."""
    (block,) = re.findall(r"<!-- core-example -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len([line for line in block.splitlines() if line]) == 5
    done = subprocess.run(
        [sys.executable, "-c", block], check=True, timeout=120, capture_output=True, text=True, env=environment()
    )
    assert done.stdout == "Ana drinks green tea\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for path in re.findall(r"`((?:configs|docker|examples|memgen|memupdate|tests|benchmarks)/[\w./]+\w)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_scripts_explain_themselves_and_refuse_unknown_options() -> None:
    script = str(ROOT / "run_training_container.sh")
    shown = subprocess.run([script, "--help"], capture_output=True, text=True, check=True, timeout=30)
    assert "run_training_container.sh [LOCOMO.json]" in shown.stdout
    refused = subprocess.run([script, "--gpu"], capture_output=True, text=True, check=False, timeout=30)
    assert refused.returncode == 2
    assert "unknown option --gpu" in refused.stderr


def test_the_locks_pin_every_package_and_agree_with_their_sources() -> None:
    for name in ("requirements-cpu", "requirements-test"):
        lock = (ROOT / "docker" / f"{name}.txt").read_text()
        pins = [line for line in lock.splitlines() if line and not line.startswith("#")]
        assert all(re.fullmatch(r"[A-Za-z0-9_.\-]+==[\w.]+", line) for line in pins)
        versions = dict(line.lower().replace("_", "-").split("==") for line in pins)
        for line in (ROOT / "docker" / f"{name}.in").read_text().splitlines():
            wanted = re.match(r"([A-Za-z0-9_.\-]+)(?:\[\w+\])?(?:==([\w.]+))?", line.split("#")[0].strip())
            if wanted:
                found = versions[wanted[1].lower().replace("_", "-")]
                assert wanted[2] in (None, found), f"{name}: {wanted[1]} is {found}, its source says {wanted[2]}"


def test_no_secret_and_no_machine_path_is_committed() -> None:
    named = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = [name for name in named if not (ROOT / name).is_symlink()]  # a link leads to a folder of this list
    pattern = re.compile(r"(api[_-]?key\s*[=:]\s*['\"]?[A-Za-z0-9]{16,}|/root/|/home/\w+/)", re.IGNORECASE)
    for name in files:
        if (
            Path(name).suffix in {".py", ".sh", ".yaml", ".md", ".toml", ".txt", ""}
            and name != "tests/integration/test_docs.py"
        ):
            found = pattern.search((ROOT / name).read_text(errors="replace"))
            assert found is None, f"{name}: {found}"
