"""A table's names, its loading on use, and what another package adds to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memupdate.errors import FieldError
from memupdate.extras import MissingExtraError
from memupdate.tables import Table


def a_table() -> Table[type]:
    return Table("memupdate.test_things", "thing.name", {"path": "pathlib:Path", "lost": "pathlib:Nothing"})


def test_an_entry_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys; from memupdate.tables import Table\n"
        "table = Table('g', 'f', {'turtle': 'this:s'})\n"
        "assert list(table) == ['turtle'] and 'turtle' in table and 'this' not in sys.modules\n"
        "table.load('turtle'); assert 'this' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)
    assert a_table().load("path") is Path


def test_a_wrong_name_lists_the_right_ones() -> None:
    for wrong in ("nothing", None, 3):
        with pytest.raises(FieldError) as raised:
            a_table().load(wrong)
        assert raised.value.field == "thing.name"
        assert raised.value.allowed == "one of path, lost"
    with pytest.raises(FieldError, match=r"memory\.thing"):
        a_table().check("nothing", "memory.thing")
    with pytest.raises(FieldError, match=r"memupdate\.test_things"):
        a_table().load("lost")


Install = Callable[[str], None]


def adding(install: Install, entry: str) -> None:
    install(f"[memupdate.test_things]\n{entry}\n")


def test_another_package_adds_an_entry(install: Install) -> None:
    adding(install, "fraction = fractions:Fraction")
    assert list(a_table()) == ["path", "lost", "fraction"]
    assert a_table().load("fraction").__name__ == "Fraction"


def test_an_entry_whose_module_is_not_installed_is_named(install: Install) -> None:
    adding(install, "gone = nomodule:Thing")
    with pytest.raises(FieldError, match=r"entry 'gone' of memupdate\.test_things: got 'nomodule:Thing'.*'nomodule'"):
        a_table().load("gone")


def test_an_entry_that_needs_an_extra_names_the_extra(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_extra.py").write_text("import ray\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    adding(install, "remote = needs_extra:Thing")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"memupdate\[cluster\]"):
        a_table().load("remote")


def test_two_packages_cannot_have_one_name(install: Install) -> None:
    adding(install, "path = fractions:Fraction")
    with pytest.raises(FieldError, match="another name; pathlib:Path has this one"):
        list(a_table())
