"""One bank service for every process of the cluster: a Ray actor and its client."""

from memupdate.broker.actor import MemoryBroker, MemoryBrokerActor, start_broker
from memupdate.broker.client import DEFAULT_BROKER_NAME, BrokerNotFoundError, MemoryStoreManager
from memupdate.broker.conversations import Conversations, read_memories
from memupdate.broker.registry import BankRegistry, UnknownNamespaceError
from memupdate.broker.results import Outcome

__all__ = [
    "DEFAULT_BROKER_NAME",
    "BankRegistry",
    "BrokerNotFoundError",
    "Conversations",
    "MemoryBroker",
    "MemoryBrokerActor",
    "MemoryStoreManager",
    "Outcome",
    "UnknownNamespaceError",
    "read_memories",
    "start_broker",
]
