"""``docs/extending.md`` works: its files, installed as its page says, do what its checks say. Nothing else is used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "extending.md"
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)
CHECK = re.compile(r"<!-- check(: slow)? -->\n```(bash|python)\n(.*?)```", re.DOTALL)
# What the page must show how to add.
SECTIONS = (
    *("A scorer", "A reward formula", "An embedder", "A dataset", "A tool", "A rollout engine"),
    *("An answer reward", "A format of latent training data", "A latent method"),
)


class Section(NamedTuple):
    """One ``##`` section of the page.

    Attributes:
        title: its heading.
        files: path in the repository -> the text that the page shows.
        checks: language and text of each block that shows how to check the result, and whether it takes minutes.
    """

    title: str
    files: dict[str, str]
    checks: list[tuple[str, str, bool]]


def sections() -> dict[str, Section]:
    """The page's sections, by title."""
    found = {}
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title = part.splitlines()[0]
        checks = [(language, text, bool(slow)) for slow, language, text in CHECK.findall(part)]
        found[title] = Section(title, dict(FILE.findall(part)), checks)
    return found


def shown_files() -> dict[str, str]:
    return {path: text for section in sections().values() for path, text in section.files.items()}


def test_every_thing_that_can_be_added_has_a_section_with_a_file_and_a_check() -> None:
    for title in SECTIONS:
        assert title in sections(), f"docs/extending.md has no section {title!r}"
        section = sections()[title]
        assert len(section.files) == 1, f"{title}: one file"
        assert section.checks and all(text.strip() for _, text, _ in section.checks), f"{title}: a check"


@pytest.mark.parametrize("path", sorted(shown_files()))
def test_the_page_shows_the_files_as_they_are(path: str) -> None:
    assert (ROOT / path).is_file(), f"docs/extending.md shows {path}, which is not there"
    assert shown_files()[path] == (ROOT / path).read_text()


def test_every_module_of_the_package_is_on_the_page() -> None:
    """An entry point whose module is missing would fail only where somebody uses its name."""
    package = tomllib.loads(shown_files()["tests/extending/pyproject.toml"])
    modules = package["tool"]["setuptools"]["py-modules"]
    named = {
        entry.partition(":")[0] for group in package["project"]["entry-points"].values() for entry in group.values()
    }
    shown = {Path(path).stem for path in shown_files() if path.endswith(".py")}
    assert set(modules) == named == shown


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the page's package is installed, made by pip from the page's own text."""
    package, site = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("site")
    for path, text in shown_files().items():
        (package / Path(path).name).write_text(text)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*install, "--target", str(site), str(package)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{site}:{ROOT}",
    }


def run_checks(section: Section, slow: bool, environment: dict[str, str], folder: Path) -> None:
    for language, text, takes_minutes in section.checks:
        if takes_minutes != slow:
            continue
        command = [sys.executable, "-c", text] if language == "python" else ["bash", "-c", f"set -euo pipefail\n{text}"]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize("title", SECTIONS)
def test_checks_pass(title: str, environment: dict[str, str], tmp_path: Path) -> None:
    run_checks(sections()[title], False, environment, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "title", [title for title, part in sections().items() if any(slow for *_, slow in part.checks)]
)
def test_checks_that_train_pass(title: str, environment: dict[str, str], tmp_path: Path) -> None:
    run_checks(sections()[title], True, environment, tmp_path)
