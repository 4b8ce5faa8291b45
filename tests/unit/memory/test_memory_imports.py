from __future__ import annotations

import inspect
import subprocess
import sys

from memupdate import memory
from memupdate.memory import MemoryBank


def test_memory_stands_on_the_ground() -> None:
    heavy = ("ray", "verl", "sglang", "torch", "transformers", "sentence_transformers")
    code = (
        "import sys, memupdate.memory as memory;"
        "bank = memory.MemoryBank.from_memories([], memory.make_embedder('hashing'));"
        "bank.create('a');"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_public_signatures_stay() -> None:
    assert all(hasattr(memory, name) for name in memory.__all__)
    parameters = {
        name: list(inspect.signature(getattr(MemoryBank, name)).parameters)[1:]
        for name in (
            "fork",
            "create",
            "update",
            "delete",
            "get",
            "search",
            "sample",
            "merge",
            "split",
            "snapshot",
            "digest",
        )
    }
    assert parameters == {
        "fork": [],
        "create": [
            "content", "memory_type", "metadata", "source", "speaker", "session", "session_date", "evidence",
        ],
        "update": ["memory_id", "content", "memory_type", "metadata", "source"],
        "delete": ["memory_id", "reason"],
        "get": ["memory_id"],
        "search": ["query", "top_k", "memory_type", "threshold", "ranking", "vector_D"],
        "sample": ["k", "strategy", "memory_type", "seed"],
        "merge": ["memory_ids", "strategy"],
        "split": ["memory_id", "split_criteria", "max_parts"],
        "snapshot": [],
        "digest": [],
    }  # fmt: skip
