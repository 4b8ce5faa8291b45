"""The floors of the house: what may import what. Read from the source, so that a lazy import counts too."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"ray", "verl", "sglang", "transfer_queue"}
# A room, and the rooms of memupdate that it may import. The files beside the rooms (errors, checks, files, tables) are
# below all of them.
MAY_IMPORT = {
    "memory": set(),
    "evaluation": set(),
    "platform": set(),
    "data": {"memory", "evaluation"},
    "broker": {"memory", "data"},
    "tools": {"memory", "broker"},
    "integrations": {"memory", "broker", "tools"},
    "rewards": {"memory", "broker", "tools", "evaluation"},
    "agents": {"memory", "broker", "tools", "platform"},
    "policy": {"memory", "data", "broker", "tools"},
    "run": {"memory", "data", "evaluation", "broker", "tools", "rewards", "agents", "policy", "platform"},
}
# Rooms and files that touch the engines; every other file is free of them.
ENGINE_ROOMS = {"broker", "agents", "platform", "run"}
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


# What memgen's ground floor may import of this project and of the field. memupdate gives its errors alone.
GROUND = {
    "stream": {"memgen.stream", "memupdate.errors", "torch"},
    "model": {
        *("memgen.stream", "memgen.model", "memupdate.errors"),
        *("torch", "transformers", "peft", "safetensors", "huggingface_hub"),
    },
}


@pytest.mark.parametrize("room", sorted(GROUND))
def test_memgen_stands_on_the_ground(room: str) -> None:
    """G35: the latent model needs torch, transformers and peft: no Ray, verl, SGLang or flash-attention."""
    for path in (ROOT / "memgen" / room).rglob("*.py"):
        for name in imports(path):
            first = name.split(".")[0]
            allowed = any(name == one or name.startswith(one + ".") for one in GROUND[room])
            assert allowed or first in sys.stdlib_module_names, f"{path.relative_to(ROOT)} imports {name}"


def test_sglang_is_imported_by_the_served_classes_only() -> None:
    for path in (ROOT / "memgen").rglob("*.py"):
        if path.parent.name not in ("sglang_models", "training"):
            assert not {name for name in imports(path) if name.split(".")[0] in HEAVY}, path


# What memgen's other rooms and files may import of this project.
UPPER = {
    "data": {"memgen.data", "memgen.stream", "memupdate.errors"},
    "tasks": {"memgen.tasks", "memupdate.errors"},
    "settings": {"memgen.settings", "memgen.tasks", "memupdate.errors"},
    "serving": {"memgen.serving", "memgen.model", "memgen.stream", "memupdate.errors"},
    "training": {
        *("memgen.training", "memgen.serving", "memgen.settings", "memgen.tasks"),
        *("memgen.data", "memgen.model", "memgen.stream", "memupdate"),
    },
    "runner.py": {
        *("memgen.training", "memgen.settings", "memgen.data", "memgen.model", "memgen.stream", "memgen.tasks"),
        "memupdate",
    },
    "cli.py": {"memgen.runner", "memgen.settings", "memupdate.errors", "memupdate.extras"},
}


@pytest.mark.parametrize("place", sorted(UPPER))
def test_memgen_s_upper_rooms_import_lower_ones_only(place: str) -> None:
    where = ROOT / "memgen" / place
    for path in [where] if where.is_file() else where.rglob("*.py"):
        for name in imports(path):
            if name.split(".")[0] in ("memgen", "memupdate"):
                assert any(name == one or name.startswith(one + ".") for one in UPPER[place]), f"{path} imports {name}"


def test_memupdate_never_imports_memgen() -> None:
    for path in (ROOT / "memupdate").rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == "memgen"], path


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


def test_public_signatures_of_memgen_are_locked() -> None:
    import inspect

    import memgen

    assert set(memgen.__all__) == {"MemGenConfig", "MemGenModel", "MemGenRunner", "MemGenTrigger", "MemGenWeaver"}
    for method in (memgen.MemGenWeaver.augment_prompt, memgen.MemGenWeaver.augment_inference):
        assert list(inspect.signature(method).parameters) == ["self", "inputs_embeds", "attention_mask"]
    generating = inspect.signature(memgen.MemGenModel.generate).parameters
    assert list(generating) == ["self", "prompts", "max_new_tokens", "sampling", "stop_ids", "turns", "seeds", "on_ids"]
    forward = list(inspect.signature(memgen.MemGenModel.forward).parameters)
    assert forward[1:7] == ["input_ids", "attention_mask", "position_ids", "prompt_lengths", "turns", "labels"]
