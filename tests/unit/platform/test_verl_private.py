"""verl's private names: the project uses those that ``verl_private`` lists, and the installed verl still has them."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from memupdate.platform.verl_private import (
    OVERRIDDEN_METHODS,
    TOUCHED_NAMES,
    changed_signatures,
    signature_of,
)

ROOT = Path(__file__).resolve().parents[3]
# A file that defines a class derived from one of verl's imports at least one of these.
NEAR_VERL = ("verl", "memupdate.platform", "memupdate.agents", "memupdate.run", "memgen.training")
# Imports sglang, which needs a process of its own: its source is read instead.
NOT_IMPORTABLE = ROOT / "memupdate" / "platform" / "rollout" / "sglang_engine.py"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith(("__", "_abc_"))


def sources() -> Iterator[Path]:
    for package in ("memupdate", "memgen"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "stubs" not in path.parts and imported(path).intersection(NEAR_VERL):
                yield path


def imported(path: Path) -> set[str]:
    """Every module that a file imports, and the packages that these are in."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return found


def classes() -> Iterator[type]:
    """Every class of the project that has a base class of verl's."""
    for path in sources():
        if path != NOT_IMPORTABLE:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            module = importlib.import_module(name)
            for value in vars(module).values():
                if isinstance(value, type) and value.__module__ == name and bases(value, "verl"):
                    yield value


def bases(cls: type, *packages: str) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.split(".")[0] in packages]


def full_name(cls: type, name: str) -> str:
    return f"{cls.__module__}:{cls.__qualname__}.{name}"


def overridden(cls: type) -> set[str]:
    """The private attributes of verl's classes that a class, or a base of it that is not verl's, defines again."""
    found = set()
    for own in cls.__mro__:
        if own not in bases(cls, "verl", "builtins"):
            for name in filter(is_private, defined(own)):
                theirs = [base for base in bases(cls, "verl") if name in vars(base)]
                found |= {full_name(theirs[0], name)} if theirs else set()
    return found


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def definition(cls: type) -> ast.ClassDef:
    tree = parsed(Path(str(sys.modules[cls.__module__].__file__)))
    [node] = [one for one in ast.walk(tree) if isinstance(one, ast.ClassDef) and one.name == cls.__name__]
    return node


def defined(cls: type) -> set[str]:
    """The names that a class defines: of ours by the source, as verl sets attributes of our classes at run time."""
    if cls not in bases(cls, "memupdate", "memgen"):
        return set(vars(cls))
    found: set[str] = set()
    for node in definition(cls).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@functools.cache
def private_attributes(cls: type) -> set[str]:
    """Names that the source of a class uses as ``self._name`` or ``super()._name``."""
    return {
        node.attr
        for node in ast.walk(definition(cls))
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and ast.unparse(node.value) in ("self", "cls", "super()")
    }


def touched(cls: type) -> set[str]:
    """The private attributes of verl's classes that the source of a class reads, calls or sets."""
    used: set[str] = set()
    for own in bases(cls, "memupdate", "memgen"):
        used |= private_attributes(own)
    found = set()
    for base in bases(cls, "verl"):
        of_verl = private_attributes(base) | set(filter(is_private, vars(base)))
        found |= {full_name(base, name) for name in used & of_verl}
    return found


def names_on_modules() -> set[str]:
    """``module:_name`` of every private name that a file takes from a module or class that it imports from verl."""
    found = set()
    for path in sources():
        tree = parsed(path)
        aliases = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "verl":
                aliases |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
                found |= {f"{node.module}:{alias.name}" for alias in node.names if alias.name.startswith("_")}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr != "__init__":
                module, name = aliases.get(ast.unparse(node.value), (None, ""))
                if module is not None:
                    is_module = not hasattr(importlib.import_module(module), name) or inspect.ismodule(
                        getattr(importlib.import_module(module), name)
                    )
                    found.add(f"{module}.{name}:{node.attr}" if is_module else f"{module}:{name}.{node.attr}")
    return found


@pytest.fixture(scope="module")
def ours() -> list[type]:
    return list(classes())


def test_verl_has_the_signatures_that_are_relied_on() -> None:
    assert changed_signatures() == []


def test_a_signature_that_changed_or_went_is_found() -> None:
    name = "verl.trainer.ppo.v1.replay_buffer:ReplayBuffer._materialize_batch"
    assert changed_signatures({name: "(self)"}) == [f"{name}: expected (self), found {signature_of(name)}"]
    [gone] = changed_signatures({"verl.trainer.sft_trainer:SFTTrainer._gone": "(self)"})
    assert "has no attribute '_gone'" in gone


def test_every_private_method_that_is_overridden_is_listed(ours: list[type]) -> None:
    assert {cls.__name__ for cls in ours} >= {"MemoryAgentLoop", "MemoryTrainer", "OrderedReplayBuffer"}
    found = {name for cls in ours for name in overridden(cls)}
    assert found == set(OVERRIDDEN_METHODS)


def test_every_other_private_name_that_is_touched_is_listed(ours: list[type]) -> None:
    found = {name for cls in ours for name in touched(cls)} | names_on_modules()
    calling_what_is_overridden = {name.rsplit(".", 1)[1] for name in OVERRIDDEN_METHODS}
    assert {name for name in found if name.rsplit(".", 1)[1] not in calling_what_is_overridden} == set(TOUCHED_NAMES)


def test_the_search_finds_what_is_not_listed() -> None:
    """Also in a mixin, which has no base of verl's itself."""

    first, second = [name for name in vars(ReplayBuffer) if is_private(name)][:2]
    mixin = type("Mixin", (), {first: None})
    derived = type("Derived", (mixin, ReplayBuffer), {second: None})
    assert overridden(derived) == {full_name(ReplayBuffer, first), full_name(ReplayBuffer, second)}


def test_the_class_that_cannot_be_imported_here_overrides_no_private_method() -> None:
    tree = parsed(NOT_IMPORTABLE)
    methods = [
        method.name
        for cls in ast.walk(tree)
        if isinstance(cls, ast.ClassDef)
        for method in cls.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert "launch_server" in methods
    assert not [name for name in methods if is_private(name)]
