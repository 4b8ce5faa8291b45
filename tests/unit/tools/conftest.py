from __future__ import annotations

from pathlib import Path

import pytest
from in_process_broker import in_process_client, write_conversation

from memupdate.broker import MemoryStoreManager


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryStoreManager:
    """A broker with the conversation ``conv-a``, which ``connect`` finds under the name ``test_broker``."""
    write_conversation(tmp_path, "conv-a", ["Ana is afraid of spiders", "Ana likes tea"])
    found = in_process_client(tmp_path)

    async def connect(name: str = "memory_broker", deadline_s: float = 60.0) -> MemoryStoreManager:
        assert name == "test_broker"
        return found

    monkeypatch.setattr(MemoryStoreManager, "connect", connect)
    return found
