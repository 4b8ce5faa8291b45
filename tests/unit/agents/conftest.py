from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from in_process_broker import in_process_client, write_conversation
from scripted_stage import Stage, make_tokenizer
from transformers import PreTrainedTokenizerFast

from memupdate.broker import MemoryStoreManager


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def stage(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Stage]:
    """Makes a stage; call it inside the event loop that is to use it."""
    write_conversation(tmp_path, "conv-a", ["Ana is afraid of spiders", "Ana likes tea", "Ana sings"])

    def make() -> Stage:
        broker = in_process_client(tmp_path)

        async def connect(name: str, deadline_s: float = 60.0) -> MemoryStoreManager:
            assert name == "test_broker"
            return broker

        monkeypatch.setattr(MemoryStoreManager, "connect", connect)
        return Stage(tokenizer, broker)

    return make
