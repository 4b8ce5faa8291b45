"""Which shard a namespace lives on, and what the actors of one broker are called."""

from __future__ import annotations

import hashlib

from memupdate.errors import FieldError

DEFAULT_BROKER_NAME = "memory_broker"


def checked_namespace(namespace: object) -> str:
    """Returns ``namespace``. Namespaces are compared code point by code point, so two different texts never share one.

    Raises:
        FieldError: it is not text, is empty, or cannot be encoded as UTF-8.
    """
    allowed = "the trajectory's id, as text that is not empty"
    if not isinstance(namespace, str) or not namespace:
        raise FieldError("namespace", namespace, allowed)
    try:
        namespace.encode()
    except UnicodeEncodeError as error:
        raise FieldError("namespace", namespace, f"{allowed}, without lone surrogates") from error
    return namespace


def shard_of(namespace: str, shards: int) -> int:
    """Returns the number of the shard that holds a namespace. It is the same in every process.

    Raises:
        FieldError: as ``checked_namespace``.
    """
    checked_namespace(namespace)
    if shards == 1:
        return 0
    hashed = hashlib.blake2b(namespace.encode(), digest_size=8).digest()
    return int.from_bytes(hashed, "little") % shards


def shard_name(broker_name: str, shard: int) -> str:
    """Returns the actor name of a shard. The first shard has the name of the broker."""
    return broker_name if shard == 0 else f"{broker_name}/{shard}"


def embedder_name(broker_name: str) -> str:
    """Returns the name of the broker's embedder actor."""
    return f"{broker_name}/embedder"
