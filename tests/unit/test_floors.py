"""The floors of the house: what may import what. Read from the source, so that a lazy import counts too."""

from __future__ import annotations

import ast
import importlib
import subprocess
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
    "rewards": {"memory", "data", "broker", "tools", "evaluation"},
    "baselines": {"memory", "data", "evaluation", "broker", "rewards"},
    "agents": {"memory", "broker", "tools", "platform"},
    "policy": {"memory", "data", "broker", "tools"},
    "chain": {"memory", "data", "evaluation", "broker", "tools", "rewards", "agents", "platform"},
    "run": {
        *("memory", "data", "evaluation", "broker", "tools", "rewards", "baselines", "agents", "policy", "platform"),
    },
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


# What memgen's lower floors may import of this project and of the field. memupdate gives its ground files alone.
GROUND = ("errors", "extras", "checks", "files", "tables", "inverse_cdf", "request_checks")
MEMUPDATE_GROUND = {f"memupdate.{name}" for name in GROUND}
MODEL_LIBRARIES = {"torch", "transformers", "peft", "safetensors", "huggingface_hub"}
# What the contract of a method is made of: a method may import it, and so may every shared room.
CONTRACT = {"memgen.base", "memgen.data", "memgen.sections", "memgen.methods"}
METHOD_ROOMS = {"weaver"}


def memgen_sources(place: str) -> list[Path]:
    where = ROOT / "memgen" / place
    return [where] if where.is_file() else sorted(where.rglob("*.py"))


def is_within(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def test_the_base_of_latent_methods_stands_on_the_ground() -> None:
    for path in memgen_sources("base"):
        for name in imports(path):
            allowed = is_within(name, {"memgen.base"} | MEMUPDATE_GROUND | MODEL_LIBRARIES)
            assert allowed or name.split(".")[0] in sys.stdlib_module_names, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("room", sorted(METHOD_ROOMS))
def test_g35_a_method_imports_the_contract_and_no_other_method(room: str) -> None:
    """G35: the latent model needs torch, transformers and peft: no Ray, verl or flash-attention. Only the classes that
    SGLang loads import SGLang."""
    for path in memgen_sources(room):
        served = {"sglang"} if path.parent.name == "sglang" else set()
        for name in imports(path):
            allowed = is_within(name, {f"memgen.{room}"} | CONTRACT | MEMUPDATE_GROUND | MODEL_LIBRARIES | served)
            assert allowed or name.split(".")[0] in sys.stdlib_module_names, f"{path.relative_to(ROOT)} imports {name}"


# What memgen's shared rooms and files may import of this project: the contract, and no method.
SHARED = {
    "data": {"memgen.base", "memgen.data"},
    "tasks": {"memgen.tasks"},
    "sections.py": {"memgen.data.formats"},
    "methods.py": {"memgen.base", "memgen.data", "memgen.sections", "memupdate.platform.rollout.decoding"},
    "settings": {"memgen.settings", "memgen.tasks", *CONTRACT},
    "serving": {"memgen.serving", *CONTRACT},
    "training": {"memgen.training", "memgen.tasks", "memupdate", *CONTRACT},
    "run_folder.py": {"memgen.sections"},
    "state.py": CONTRACT,
    "loading.py": {"memgen.state", *CONTRACT},
    "evaluation.py": {"memgen.loading", "memgen.tasks", "memupdate.evaluation", *CONTRACT},
    "runner.py": {
        *("memgen.training", "memgen.evaluation", "memgen.loading", "memgen.run_folder", "memgen.state"),
        "memupdate.platform.lease",
        *CONTRACT,
    },
    "cli.py": {"memgen.runner", "memgen.settings", "memupdate.platform.stopping"},
}


@pytest.mark.parametrize("place", sorted(SHARED))
def test_memgen_s_shared_rooms_import_no_method(place: str) -> None:
    for path in memgen_sources(place):
        for name in imports(path):
            if name.split(".")[0] in ("memgen", "memupdate"):
                assert is_within(name, SHARED[place] | MEMUPDATE_GROUND), f"{path} imports {name}"


def test_every_room_of_memgen_has_its_floor() -> None:
    rooms = {
        path.name for path in (ROOT / "memgen").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert rooms == {"base", *METHOD_ROOMS, *SHARED, "__init__.py", "example.py"}


def test_engines_are_imported_by_memgen_s_training_and_served_classes_only() -> None:
    for path in (ROOT / "memgen").rglob("*.py"):
        if path.parent.name not in ("sglang", "training"):
            assert not {name for name in imports(path) if name.split(".")[0] in HEAVY}, path


def memgen_modules() -> dict[str, Path]:
    """Dotted names of memgen's modules and packages."""
    found = {}
    for path in (ROOT / "memgen").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_memgen_s_modules_import_each_other_in_no_circle() -> None:
    """At any level: an import inside a function counts, and so does one for type checkers alone."""
    modules = memgen_modules()
    needs = {name: {one for one in imports(path) if one in modules} for name, path in modules.items()}
    done: set[str] = set()
    while len(done) < len(needs):
        free = {name for name, others in needs.items() if name not in done and others - {name} <= done}
        assert free, f"a circle among {sorted(set(needs) - done)}"
        done |= free


def test_memupdate_never_imports_memgen() -> None:
    for path in (ROOT / "memupdate").rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == "memgen"], path


# The names that users of memupdate import, by package.
PUBLIC = {
    "memory": ("Memory", "MemoryBank"),
    "broker": ("MemoryBrokerActor", "MemoryStoreManager"),
    "tools": (
        *("SearchMemoryTool", "ManageMemoryTool", "DeleteMemoryTool"),
        *("SampleMemoryTool", "MergeMemoryTool", "SplitMemoryTool"),
    ),
    "rewards": ("MemoryRewardManager", "RewardParts", "memory_reward"),
    "evaluation": ("locomo_score",),
    "data.preprocess_locomo": ("main",),
}


@pytest.mark.parametrize("package", sorted(PUBLIC))
def test_documented_names_import_as_documented(package: str) -> None:
    """Each is what its name says, and no module of the same name can take its place when it is imported later."""
    module = importlib.import_module(f"memupdate.{package}")
    for name in PUBLIC[package]:
        assert callable(getattr(module, name)) or hasattr(getattr(module, name), "remote"), name
        assert not list((ROOT / "memupdate" / package.replace(".", "/")).glob(f"{name}.py")), name


def test_the_official_score_is_called_as_documented() -> None:
    code = (
        "import memupdate.evaluation, memupdate.evaluation.report; from memupdate.evaluation import locomo_score\n"
        "assert memupdate.evaluation.locomo_score is locomo_score\n"
        "assert memupdate.evaluation.locomo_score('Green tea.', 'green tea', 4) == 1.0"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=ROOT)


def test_public_signatures_are_locked() -> None:
    """Names that users of the platform know; changing one is a decision, made here too."""
    import inspect

    from memupdate import broker, memory, rewards, tools
    from memupdate.evaluation import locomo_score

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
    own = ["self", "prompts", "max_new_tokens", "sampling", "stop_ids", "turns", "seeds", "on_ids"]
    assert list(generating) == [*own, "hugging_face"]
    forward = list(inspect.signature(memgen.MemGenModel.forward).parameters)
    assert forward[1:7] == ["input_ids", "attention_mask", "position_ids", "prompt_lengths", "turns", "labels"]
