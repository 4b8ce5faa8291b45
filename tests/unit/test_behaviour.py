"""``docs/behaviour.md`` is complete: every code of the tests is on it, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "behaviour.md"
LINE = re.compile(r"^- \*\*([UGSTLV]\d{1,2})\*\* (.+)$", re.MULTILINE)
NAMED = re.compile(r"`(test_\w+\.py)::(\w+)`")
UPPER = re.compile(r"\b[UGSTLV]\d{1,2}\b")  # in a docstring or a comment
LOWER = re.compile(r"(?<=_)[ugstlv]\d{1,2}(?=_)")  # in a test's name


def files_of_tests() -> dict[str, str]:
    """Source of every test file but this one, by the file's name."""
    paths = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__).resolve()]
    tests = [path for path in paths if path.name.startswith("test_")]
    repeated = [name for name, count in Counter(path.name for path in tests).items() if count > 1]
    assert not repeated, f"docs/behaviour.md names test files without their folder, so {repeated} must be renamed"
    return {path.name: path.read_text() for path in tests}


def codes_of(text: str) -> set[str]:
    """The codes that a piece of a test's source names."""
    return set(UPPER.findall(text)) | {code.upper() for code in LOWER.findall(text)}


def described() -> dict[str, str]:
    """Code -> its line on the page."""
    found = LINE.findall(PAGE.read_text())
    repeated = [code for code, count in Counter(code for code, _ in found).items() if count > 1]
    assert not repeated, f"docs/behaviour.md describes {repeated} more than once"
    return dict(found)


@cache
def declared_in(source: str) -> dict[str, str]:
    """Name -> source of a file's tests; a rule-based machine's ``TestX = Machine.TestCase`` is a test too."""
    lines, found = source.splitlines(), dict[str, str]()
    for node in ast.parse(source).body:
        name = ""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        if name.startswith(("test_", "Test")):
            found[name] = "\n".join(lines[node.lineno - 1 : node.end_lineno])
    return found


@cache
def heading_of(source: str) -> str:
    """The docstring of a test file."""
    return ast.get_docstring(ast.parse(source)) or ""


def test_every_code_of_the_tests_is_described() -> None:
    used = {code for source in files_of_tests().values() for code in codes_of(source)}
    assert len(used) > 50
    assert used - set(described()) == set(), "codes in the tests that docs/behaviour.md does not describe"


def test_every_described_code_names_tests_that_exist_and_carry_it() -> None:
    files = files_of_tests()
    for code, line in described().items():
        named = NAMED.findall(line)
        assert named, f"{code} names no test"
        for file, test in named:
            assert file in files, f"{code} names {file}, which is not there"
            tests = declared_in(files[file])
            assert test in tests, f"{code} names {test}, which {file} does not have"
            heading = heading_of(files[file])
            assert code in codes_of(f"{heading}\n{test}\n{tests[test]}"), f"{file}::{test} does not name {code}"


def test_every_line_says_something() -> None:
    for code, line in described().items():
        text = NAMED.sub("", line).strip(" ,`")
        assert len(text) > 20 and text.endswith("."), f"{code}: {text!r}"
