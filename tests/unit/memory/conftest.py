"""A bank of a few facts."""

from __future__ import annotations

import pytest
from small_bank import facts

from memupdate.memory import CachingEmbedder, HashingEmbedder, MemoryBank


@pytest.fixture
def bank() -> MemoryBank:
    return MemoryBank.from_memories(facts(), CachingEmbedder(HashingEmbedder()))
