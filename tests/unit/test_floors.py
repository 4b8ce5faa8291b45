"""The floors of the house: what may import what. Read from the source, so that a lazy import counts too."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"ray", "verl", "sglang", "transfer_queue"}
# A room, and the rooms of memupdate that it may import (errors.py is below all of them).
MAY_IMPORT = {
    "memory": set(),
    "data": {"memory", "evaluation"},
    "evaluation": set(),
    "broker": {"memory", "data"},
    "tools": {"memory", "broker"},
    "integrations": {"memory", "broker", "tools"},
    "rewards": {"memory", "broker", "tools", "evaluation"},
    "agents": {"memory", "broker", "tools"},
    "policy": {"memory", "data", "broker", "tools"},
    "platform": {"memory", "data", "evaluation", "broker", "tools", "rewards", "agents", "policy"},
}
# Rooms and files that touch the engines; every other file is free of them.
ENGINE_ROOMS = {"broker", "agents", "platform"}
ENGINE_FILES = {"rewards/manager.py", "tools/verl_tools.py"}


def imports(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, at any level."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(room: str) -> list[Path]:
    return [path for path in (ROOT / "memupdate" / room).rglob("*.py") if "stubs" not in path.parts]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_lower_rooms_only(room: str) -> None:
    for path in sources(room):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "memupdate" and len(parts) > 1 and parts[1] in MAY_IMPORT:
                assert parts[1] in MAY_IMPORT[room] | {room}, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - ENGINE_ROOMS))
def test_engines_are_touched_in_their_rooms_only(room: str) -> None:
    for path in sources(room):
        if str(path.relative_to(ROOT / "memupdate")) not in ENGINE_FILES:
            engines = {name for name in imports(path) if name.split(".")[0] in HEAVY}
            assert not engines, f"{path.relative_to(ROOT)} imports {sorted(engines)}"


def test_the_ground_floor_loads_without_the_engines() -> None:
    rooms = "memupdate.memory, memupdate.data.preprocess_locomo, memupdate.evaluation.report, memupdate.rewards"
    code = f"import {rooms}, sys; print(sorted({sorted(HEAVY)!r} & sys.modules.keys()))".replace(
        f"{sorted(HEAVY)!r}", f"set({sorted(HEAVY)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_faces_run_without_the_engines() -> None:
    faces = "langgraph_store, langgraph_tools, mcp_server, store_conformance"
    loaded = f"sorted({HEAVY | {'torch'}!r} & sys.modules.keys())"
    code = f"from memupdate.integrations import {faces}; import sys; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_public_signatures_are_locked() -> None:
    """Names that users of the platform know; changing one is a decision, made here too."""
    import inspect

    from memupdate import broker, memory, rewards, tools
    from memupdate.evaluation.locomo_score import locomo_score

    methods = ("fork", "create", "update", "delete", "get", "search", "sample", "merge", "split", "snapshot", "digest")
    assert all(callable(getattr(memory.MemoryBank, name)) for name in (*methods, "__len__"))
    searching = list(inspect.signature(memory.MemoryBank.search).parameters)
    assert searching[:5] == ["self", "query", "top_k", "memory_type", "threshold"]
    assert list(inspect.signature(memory.MemoryBank.merge).parameters) == ["self", "memory_ids", "strategy"]
    assert list(inspect.signature(memory.MemoryBank.split).parameters) == [
        "self",
        "memory_id",
        "split_criteria",
        "max_parts",
    ]
    assert list(inspect.signature(rewards.memory_reward).parameters)[:4] == ["before", "after", "question", "answer"]
    assert list(inspect.signature(locomo_score).parameters) == ["prediction", "answer", "category"]
    assert list(rewards.RewardParts.__dataclass_fields__) == [
        "reward",
        "delta",
        "efficiency",
        "size_factor",
        "density_factor",
        "change_factor",
        "qa_before",
        "qa_after",
    ]
    assert callable(broker.MemoryBrokerActor.remote)
    assert callable(broker.MemoryStoreManager.connect)
    for name in ("Search", "Manage", "Delete", "Sample", "Merge", "Split"):
        assert inspect.isclass(getattr(tools, f"{name}MemoryTool"))
    assert inspect.isclass(rewards.MemoryRewardManager)
