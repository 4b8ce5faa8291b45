"""A broker without Ray for unit tests: the real service behind the real client, with ``.remote`` on its methods."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memupdate.broker import MemoryBroker, MemoryStoreManager
from memupdate.broker.wire import decode_turn, encode_outcomes
from memupdate.memory import Memory


class _Method:
    def __init__(self, method: Any) -> None:
        self.remote = lambda *args, **kwargs: asyncio.ensure_future(method(*args, **kwargs))


class InProcessHandle:
    """Looks to ``MemoryStoreManager`` like an actor handle."""

    def __init__(self, broker: MemoryBroker) -> None:
        # What travels by name to an actor is found there by name.
        self.call = _Method(lambda shards, method, *args: pickle.loads(pickle.dumps(method))(broker, *args))
        self.run_encoded = _Method(self._run_encoded)
        self._broker = broker

    async def _run_encoded(self, shards: int, turn: bytes) -> bytes:
        namespace, operations = decode_turn(turn)
        return encode_outcomes(await self._broker.run(namespace, operations))


def in_process_client(memories_dir: Path) -> MemoryStoreManager:
    return MemoryStoreManager([InProcessHandle(MemoryBroker(str(memories_dir)))])


def write_conversation(memories_dir: Path, sample_id: str, contents: Iterable[str], **fields: Any) -> None:
    """Writes ``{sample_id}.jsonl`` with ids m1, m2, …"""
    memories = [Memory(id=f"m{n}", content=content, **fields) for n, content in enumerate(contents, start=1)]
    lines = (json.dumps(memory.to_json(), ensure_ascii=False) + "\n" for memory in memories)
    (memories_dir / f"{sample_id}.jsonl").write_text("".join(lines), encoding="utf-8")
