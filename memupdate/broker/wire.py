"""Encodes the operations of a turn, and its outcomes, as bytes.

Ray passes a bytes object on without pickling it. It would pickle lists of operations and outcomes object by object,
which costs more than the operations themselves. This module pickles plain data: tuples of JSON values.
"""

from __future__ import annotations

import itertools
import os
import pickle
import uuid
from collections.abc import Sequence

from memupdate.broker.results import Outcome, Refusal
from memupdate.memory import Operation


class Keys:
    """Makes unique idempotency keys: a random name of the process and a counter.

    A random key for each call would be read from the operating system, which costs more than the rest of the encoding.
    """

    def __init__(self) -> None:
        self._start()
        os.register_at_fork(after_in_child=self._start)  # a child process must not continue its parent's keys

    def new(self) -> str:
        """Returns the next key."""
        return f"{self._process}-{next(self._numbers)}"

    def _start(self) -> None:
        self._process, self._numbers = uuid.uuid4().hex, itertools.count()


new_key = Keys().new


def with_keys(operations: Sequence[Operation]) -> list[Operation]:
    """Returns the operations. One without an idempotency key gets a key, so that it can be sent again."""
    return [one if one.key else Operation.checked_before(one.kind, one.arguments, new_key()) for one in operations]


def encode_turn(namespace: str, operations: Sequence[Operation]) -> bytes:
    """Encodes a turn as bytes for ``decode_turn``.

    An operation without an idempotency key gets one, so that it can be sent again.
    """
    return pickle.dumps((namespace, [(one.kind, one.arguments, one.key or new_key()) for one in operations]))


def decode_turn(encoded: bytes) -> tuple[str, list[Operation]]:
    """Returns the namespace and the operations of an encoded turn."""
    namespace, operations = pickle.loads(encoded)  # noqa: S301  comes from a client, like every call that Ray delivers
    return namespace, [Operation.checked_before(*fields) for fields in operations]


def encode_outcomes(outcomes: Sequence[Outcome]) -> bytes:
    """Encodes outcomes as bytes for ``decode_outcomes``."""
    return pickle.dumps([(one.value, one.error, one.refusal and one.refusal.value) for one in outcomes])


def decode_outcomes(encoded: bytes) -> list[Outcome]:
    """Returns the outcomes that ``encode_outcomes`` encoded."""
    answered = pickle.loads(encoded)  # noqa: S301  comes from a shard
    return [Outcome(value, error, refusal and Refusal(refusal)) for value, error, refusal in answered]
