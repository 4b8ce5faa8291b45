"""A turn as bytes, both ways.

Ray hands a single bytes object on as it is. A list of operations and a list of outcomes it would pickle object by
object, which costs more than the operations themselves. What is pickled here is plain data, tuples of JSON values.
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
    """Idempotency keys that nobody else has: a random name for the process, and a number that counts up.

    A random key each time would be read from the operating system, which costs more than all else that a turn's
    encoding does.
    """

    def __init__(self) -> None:
        self._start()
        os.register_at_fork(after_in_child=self._start)  # a child must not go on with its parent's keys

    def new(self) -> str:
        """Returns the next key."""
        return f"{self._process}-{next(self._numbers)}"

    def _start(self) -> None:
        self._process, self._numbers = uuid.uuid4().hex, itertools.count()


new_key = Keys().new


def encode_turn(namespace: str, operations: Sequence[Operation]) -> bytes:
    """Returns a turn as bytes for ``decode_turn``.

    An operation without an idempotency key gets one, so that it can be sent again.
    """
    return pickle.dumps((namespace, [(one.kind, one.arguments, one.key or new_key()) for one in operations]))


def decode_turn(encoded: bytes) -> tuple[str, list[Operation]]:
    """Returns the namespace and the operations that ``encode_turn`` was given."""
    namespace, operations = pickle.loads(encoded)  # noqa: S301  from a client, as every call that Ray delivers
    return namespace, [Operation.checked_before(*fields) for fields in operations]


def encode_outcomes(outcomes: Sequence[Outcome]) -> bytes:
    """Returns the outcomes as bytes for ``decode_outcomes``."""
    return pickle.dumps([(one.value, one.error, one.refusal and one.refusal.value) for one in outcomes])


def decode_outcomes(encoded: bytes) -> list[Outcome]:
    """Returns the outcomes that ``encode_outcomes`` was given."""
    answered = pickle.loads(encoded)  # noqa: S301  from a shard
    return [Outcome(value, error, refusal and Refusal(refusal)) for value, error, refusal in answered]
