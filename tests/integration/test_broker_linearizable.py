"""A broker that is killed every second is linearizable: eight processes see banks that never go back.

A turn of ten operations is one call. The history of each bank is checked by ``tests/linearizability.py``. The shard of
the Ray actor is served from a process of its own (``tests/served_shard.py``).
``MEMUPDATE_LINEARIZABLE_OPERATIONS=1000000`` sends more than the 100,000 operations of a normal run.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from killed_broker import use_served
from served_shard import ServedShard

from memupdate.broker.actor import BrokerShard
from memupdate.broker.wire import decode_turn, encode_outcomes

pytestmark = pytest.mark.slow

OPERATIONS = int(os.environ.get("MEMUPDATE_LINEARIZABLE_OPERATIONS", "100000"))


def test_a_shard_killed_every_second_is_linearizable(tmp_path: Path) -> None:
    found = use_served(ServedShard(tmp_path), OPERATIONS, every_s=1.0, deadline_s=240)
    assert found.violations == ()
    assert found.operations >= OPERATIONS
    assert found.kills >= 1 + OPERATIONS // 100_000
    assert found.unknown < found.operations // 10
    assert found.writes > found.operations // 3


class CheatingShard(BrokerShard):
    """Acknowledges a turn first and writes it a moment later."""

    def run_encoded(self, shards: int, turn: bytes) -> bytes:
        namespace, operations = decode_turn(turn)
        with self._loop.lock:
            begun = self._broker.begin(namespace, operations)
        if begun is None:
            return super().run_encoded(shards, turn)

        def write() -> None:
            self._broker.write(begun)
            with self._loop.lock:
                self._broker.end(begun)

        if begun.on_disk is not None:
            threading.Timer(0.02, write).start()
        return encode_outcomes(begun.outcomes)


def test_a_shard_that_acknowledges_before_it_writes_is_caught(tmp_path: Path) -> None:
    found = use_served(ServedShard(tmp_path, CheatingShard), 3_000, every_s=0.3, deadline_s=120)
    assert found.kills >= 1
    assert found.violations
