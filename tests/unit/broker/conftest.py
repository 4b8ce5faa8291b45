from __future__ import annotations

from pathlib import Path

import pytest
from in_process_broker import write_conversation

from memupdate.broker import BankRegistry, Conversations
from memupdate.memory import CachingEmbedder, HashingEmbedder

FACTS = {
    "conv-a": [f"Ana planted tree number {n} in the garden" for n in range(8)] + ["Ana is afraid of spiders"],
    "conv-b": ["Ben plays the cello", "Ben moved to Oslo in 2019"],
}


@pytest.fixture
def memories_dir(tmp_path: Path) -> Path:
    for sample_id, contents in FACTS.items():
        write_conversation(tmp_path, sample_id, contents, session_date="1:56 pm on 8 May, 2023", session=1)
    return tmp_path


@pytest.fixture
def embedder() -> CachingEmbedder:
    return CachingEmbedder(HashingEmbedder())


@pytest.fixture
def registry(memories_dir: Path, embedder: CachingEmbedder) -> BankRegistry:
    return BankRegistry(Conversations(memories_dir, embedder))
