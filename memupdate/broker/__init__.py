"""One bank service for every process of the cluster: Ray actors and their client, and the service itself without Ray.

Importing this room does not import Ray; the actors and the client are loaded when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from memupdate.broker.conversations import Conversations
from memupdate.broker.journal import JournalError
from memupdate.broker.registry import BankRegistry, UnknownNamespaceError
from memupdate.broker.results import Outcome
from memupdate.broker.routing import DEFAULT_BROKER_NAME
from memupdate.broker.service import MemoryBroker

if TYPE_CHECKING:
    from memupdate.broker.actor import MemoryBrokerActor, RunningBroker, start_broker
    from memupdate.broker.client import BrokerDeadlineError, BrokerNotFoundError, MemoryStoreManager

__all__ = [
    "DEFAULT_BROKER_NAME",
    "BankRegistry",
    "BrokerDeadlineError",
    "BrokerNotFoundError",
    "Conversations",
    "JournalError",
    "MemoryBroker",
    "MemoryBrokerActor",
    "MemoryStoreManager",
    "Outcome",
    "RunningBroker",
    "UnknownNamespaceError",
    "start_broker",
]

_WITH_RAY = {
    "MemoryBrokerActor": "actor",
    "RunningBroker": "actor",
    "start_broker": "actor",
    "BrokerDeadlineError": "client",
    "BrokerNotFoundError": "client",
    "MemoryStoreManager": "client",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_RAY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_RAY[name]}"), name)
