"""Files of a room do not import each other in circles. Read from the source, so that a lazy import counts too."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("memory", "rewards", "data", "policy", "chain")


def imports_of(files: dict[str, Path]) -> dict[str, set[str]]:
    """Which of these modules each of them imports, at any level of the file."""
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(files)
                names |= submodules or {node.module}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        graph[module] = names & set(files)
    return graph


def modules_of(root: Path, room: str) -> dict[str, Path]:
    files = (root / room).rglob("*.py")
    return {
        ".".join(path.relative_to(root.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in files
    }


@pytest.mark.parametrize("room", ROOMS)
def test_files_of_a_room_form_no_circle(room: str) -> None:
    graph = imports_of(modules_of(ROOT / "memupdate", room))
    assert sum(map(len, graph.values())) > 5
    TopologicalSorter(graph).prepare()


def test_a_circle_is_found(tmp_path: Path) -> None:
    room = tmp_path / "house" / "room"
    room.mkdir(parents=True)
    (room / "table.py").write_text("def load():\n    from house.room.entry import Entry\n    return Entry\n")
    (room / "entry.py").write_text("from house.room import table\n\nclass Entry: ...\n")
    with pytest.raises(CycleError):
        TopologicalSorter(imports_of(modules_of(tmp_path / "house", "room"))).prepare()
