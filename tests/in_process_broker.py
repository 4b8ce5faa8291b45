"""A broker without Ray for unit tests: the real service behind the real client, with ``.remote`` on its methods."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memupdate.broker import MemoryBroker, MemoryStoreManager
from memupdate.memory import Memory


class _Method:
    def __init__(self, method: Any) -> None:
        self.remote = lambda *args, **kwargs: asyncio.ensure_future(method(*args, **kwargs))


class InProcessHandle:
    """Looks to ``MemoryStoreManager`` like an actor handle."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self.broker, name))


def in_process_client(memories_dir: Path) -> MemoryStoreManager:
    return MemoryStoreManager([InProcessHandle(MemoryBroker(str(memories_dir)))])


def write_conversation(memories_dir: Path, sample_id: str, contents: Iterable[str], **fields: Any) -> None:
    """Writes ``{sample_id}.jsonl`` with ids m1, m2, …"""
    memories = [Memory(id=f"m{n}", content=content, **fields) for n, content in enumerate(contents, start=1)]
    lines = (json.dumps(memory.to_json(), ensure_ascii=False) + "\n" for memory in memories)
    (memories_dir / f"{sample_id}.jsonl").write_text("".join(lines), encoding="utf-8")
