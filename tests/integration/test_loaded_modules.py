"""What the lower floors load. ``tests/unit/test_floors.py`` reads their source; the libraries may load more."""

from __future__ import annotations

import subprocess
import sys

ENGINES = {"ray", "verl", "sglang", "transfer_queue"}


def loaded(statement: str, of: set[str]) -> list[str]:
    """Which of these modules a new process has after an import."""
    code = f"{statement}; import sys; print(*sorted({of!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_the_ground_floor_loads_without_the_engines() -> None:
    ours = "memupdate.memory, memupdate.data.preprocess_locomo, memupdate.evaluation.report, memupdate.rewards"
    assert loaded(f"import {ours}, memgen.weaver.modeling, memgen.runner", ENGINES) == []
    assert loaded("import ray", ENGINES) == ["ray"]


def test_the_faces_load_without_the_engines() -> None:
    faces = "langgraph_store, langgraph_tools, mcp_server, store_conformance"
    assert loaded(f"from memupdate.integrations import {faces}", ENGINES | {"torch"}) == []


def test_a_chained_run_loads_without_the_engines() -> None:
    assert loaded("import memupdate.chain.command, memupdate.chain.huggingface", ENGINES) == []


def test_a_latent_run_loads_nothing_of_memories() -> None:
    """What verl imports by name in its workers, and what the task runner and the agent loops are made from."""
    rooms = {
        f"memupdate.{room}" for room in ("agents", "broker", "data", "memory", "policy", "rewards", "run", "tools")
    }
    named = "plugin", "latent_trainer", "agent_loop", "reward_manager"
    assert loaded("import " + ", ".join(f"memgen.training.{module}" for module in named), rooms) == []
    assert loaded("import memupdate.agents.loop", {"memupdate.agents.parser"}) == ["memupdate.agents.parser"]
