"""A store over a broker in this process, and one trajectory's bank in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process_broker import write_conversation

from memupdate.broker import MemoryBroker
from memupdate.integrations import MemoryBankStore, open_bank

TRAJECTORY = "conv-26-qa159-4f01449a"


@pytest.fixture
def broker(tmp_path: Path) -> MemoryBroker:
    facts = ("Caroline likes green tea", "Caroline moved from Sweden", "Caroline is afraid of dogs")
    write_conversation(tmp_path, "conv-26", facts, speaker="Caroline", session=1, evidence=("D1:3",))
    return MemoryBroker(str(tmp_path))


@pytest.fixture
def store(broker: MemoryBroker) -> MemoryBankStore:
    return MemoryBankStore(broker)


@pytest.fixture
def trajectory(broker: MemoryBroker) -> str:
    open_bank(broker, TRAJECTORY, "conv-26")
    return TRAJECTORY
