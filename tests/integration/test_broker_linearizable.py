"""A broker that is killed every second is linearizable: eight processes see one bank that never goes back.

What is deployed is tested: the threaded actor on Ray, with its journal, and the client with its retries. A turn of ten
operations is one call. The history of each bank is checked by ``tests/linearizability.py``.
``MEMUPDATE_LINEARIZABLE_OPERATIONS=1000000`` sends more operations than the 100,000 of a normal run.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from killed_broker import use_and_kill

from memupdate.broker import RunningBroker, actor, start_broker
from memupdate.broker.actor import BrokerShard
from memupdate.broker.wire import decode_turn, encode_outcomes

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.slow]

OPERATIONS = int(os.environ.get("MEMUPDATE_LINEARIZABLE_OPERATIONS", "100000"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    running = start(tmp_path)
    yield running
    running.kill()


def start(folder: Path) -> RunningBroker:
    settings = {"memories_dir": str(folder), "embedder": "hashing", "broker_name": "killed"}
    return start_broker({**settings, "journal_dir": str(folder / "journal")})


def test_a_broker_killed_every_second_is_linearizable(broker: RunningBroker) -> None:
    rounds = max(2, OPERATIONS // 50_000)
    found = use_and_kill("killed", broker.shards[0], OPERATIONS, rounds=rounds, every_s=1.0, deadline_s=240)
    assert found.violations == ()
    assert found.operations >= OPERATIONS
    assert found.kills >= OPERATIONS // 20_000
    assert 0 < found.unknown < found.operations // 10
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
            threading.Timer(0.03, write).start()
        return encode_outcomes(begun.outcomes)


def test_a_broker_that_acknowledges_before_it_writes_is_caught(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "MemoryBrokerActor", ray.remote(CheatingShard))
    running = start(tmp_path)
    try:
        found = use_and_kill("killed", running.shards[0], 6_000, rounds=1, every_s=0.5, deadline_s=120)
    finally:
        running.kill()
    assert found.kills >= 1
    assert found.violations
