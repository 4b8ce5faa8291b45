"""The memory banks as a service: an in-process broker, and Ray actors with a client for a whole cluster.

Importing this package does not import Ray. The actors and the client are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from memupdate.broker.conversations import Conversations
from memupdate.broker.journal import JournalError, UncertainWriteError
from memupdate.broker.protocol import BankService
from memupdate.broker.registry import BankRegistry, UnknownNamespaceError
from memupdate.broker.results import Outcome, Refusal, RefusedError
from memupdate.broker.routing import DEFAULT_BROKER_NAME, ReshardedError
from memupdate.broker.service import MemoryBroker
from memupdate.extras import missing_extras_named

if TYPE_CHECKING:
    from memupdate.broker.actor import MemoryBrokerActor, RunningBroker, start_broker
    from memupdate.broker.client import BrokerDeadlineError, BrokerNotFoundError, MemoryStoreManager

__all__ = [
    "DEFAULT_BROKER_NAME",
    "BankRegistry",
    "BankService",
    "BrokerDeadlineError",
    "BrokerNotFoundError",
    "Conversations",
    "JournalError",
    "MemoryBroker",
    "MemoryBrokerActor",
    "MemoryStoreManager",
    "Outcome",
    "Refusal",
    "RefusedError",
    "ReshardedError",
    "RunningBroker",
    "UncertainWriteError",
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


def __getattr__(name: str) -> object:
    if name not in _WITH_RAY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with missing_extras_named():
        return getattr(importlib.import_module(f"{__name__}.{_WITH_RAY[name]}"), name)
