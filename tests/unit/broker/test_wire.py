"""A turn as bytes, and the keys that make it happen once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from memupdate.broker.results import Outcome, Refusal
from memupdate.broker.wire import decode_outcomes, decode_turn, encode_outcomes, encode_turn, new_key
from memupdate.memory import Operation


def test_a_turn_and_its_outcomes_arrive_as_they_were_sent() -> None:
    operations = [
        Operation("create", {"content": "ünïcode \U0001f600", "metadata": {"a": [1, 2.5, None]}}, key="mine"),
        Operation("search", {"query": "q", "top_k": 3}),
    ]
    namespace, arrived = decode_turn(encode_turn("n", operations))
    assert namespace == "n"
    assert arrived[0] == operations[0]
    assert (arrived[1].kind, arrived[1].arguments) == ("search", {"query": "q", "top_k": 3})
    assert arrived[1].key  # so that it can be sent again
    outcomes = [Outcome({"id": "m1"}), *(Outcome(None, "refused", refusal) for refusal in Refusal)]
    decoded = decode_outcomes(encode_outcomes(outcomes))
    assert decoded == outcomes
    assert [type(outcome.refusal) for outcome in decoded] == [type(None), Refusal, Refusal]
    assert json.loads(json.dumps(Refusal.UNKNOWN_MEMORY)) == Refusal.UNKNOWN_MEMORY


def test_keys_are_unique_across_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = [key for part in pool.map(lambda _: [new_key() for _ in range(500)], range(8)) for key in part]
    assert len(set(keys)) == len(keys)


def test_keys_are_unique_across_processes_forked_ones_too() -> None:
    code = (
        "import os; from memupdate.broker.wire import new_key; new_key(); child = os.fork();"
        "child and os.waitpid(child, 0); print(new_key())"
    )
    keys = [
        key
        for _ in range(2)
        for key in subprocess.run(
            [sys.executable, "-c", code], env=os.environ, capture_output=True, check=True, timeout=60, text=True
        ).stdout.split()
    ]
    assert len(set(keys)) == len(keys) == 4
