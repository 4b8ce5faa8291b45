"""The assignment of namespaces to shards, and the names of a broker's actors."""

from __future__ import annotations

import hashlib

from memupdate.errors import FieldError, MemupdateError

DEFAULT_BROKER_NAME = "memory_broker"
MAX_NAMESPACE_CHARACTERS = 1024


class ReshardedError(MemupdateError):
    """The client knows another number of shards than the broker has, so it would ask the wrong shard for a namespace.

    Attributes:
        known: the number of shards that the client knows.
        shards: the number of shards that the broker has.
    """

    def __init__(self, known: int, shards: int) -> None:
        super().__init__(known, shards)
        self.known = known
        self.shards = shards

    def __str__(self) -> str:
        return (
            f"memory.broker_shards: this client knows a broker with {self.known} shards, and the broker now has "
            f"{self.shards}; allowed: a client that was connected since then (MemoryStoreManager.connect)"
        )


def check_shards(known: int, shards: int) -> None:
    """Raises ReshardedError unless the client's number of shards is the broker's."""
    if known != shards:
        raise ReshardedError(known, shards)


def checked_namespace(namespace: object) -> str:
    """Returns ``namespace`` if it is valid. Namespaces are equal only if all their code points are equal.

    Raises:
        FieldError: the namespace is not a string, is empty, or cannot be encoded as UTF-8.
    """
    allowed = "the trajectory's id, as text that is not empty"
    if not isinstance(namespace, str) or not namespace:
        raise FieldError("namespace", namespace, allowed)
    try:
        namespace.encode()
    except UnicodeEncodeError as error:
        raise FieldError("namespace", namespace, f"{allowed}, without lone surrogates") from error
    return namespace


def checked_new_namespace(namespace: object) -> str:
    """Returns ``namespace`` if a bank may be opened under it.

    Raises:
        FieldError: as ``checked_namespace``, or the namespace is longer than ``MAX_NAMESPACE_CHARACTERS``.
    """
    checked = checked_namespace(namespace)
    if len(checked) > MAX_NAMESPACE_CHARACTERS:
        allowed = f"at most {MAX_NAMESPACE_CHARACTERS:,} characters (this has {len(checked):,})"
        raise FieldError("namespace", checked, allowed)
    return checked


def shard_of(namespace: str, shards: int) -> int:
    """Returns the number of the shard that holds a namespace. The number is the same in every process.

    Raises:
        FieldError: as ``checked_namespace``.
    """
    checked_namespace(namespace)
    if shards == 1:
        return 0
    hashed = hashlib.blake2b(namespace.encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "little") % shards


def shard_name(broker_name: str, shard: int) -> str:
    """Returns the actor name of a shard. The first shard has the broker's name."""
    return broker_name if shard == 0 else f"{broker_name}/{shard}"


def embedder_name(broker_name: str) -> str:
    """Returns the actor name of the broker's embedder."""
    return f"{broker_name}/embedder"
