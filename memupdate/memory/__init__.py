"""Explicit memory: what a memory is, and banks of memories. Plain Python and numpy."""

from memupdate.memory.bank import MemoryBank
from memupdate.memory.caching import CachingEmbedder
from memupdate.memory.changes import MAX_MERGED, MAX_PARTS
from memupdate.memory.embedder import Embedder
from memupdate.memory.embedders import EMBEDDERS, make_embedder
from memupdate.memory.hashing import HashingEmbedder
from memupdate.memory.lexical import RANKINGS
from memupdate.memory.memory_file import read_memories, write_memories
from memupdate.memory.merging import MERGE_STRATEGIES
from memupdate.memory.operation import MUTATIONS, READS, Operation
from memupdate.memory.reading import ReadBudget, read_within
from memupdate.memory.record import JSON, MAX_CONTENT_CHARACTERS, MEMORY_TYPES, Memory
from memupdate.memory.sampling import SAMPLE_STRATEGIES
from memupdate.memory.search import SearchHit
from memupdate.memory.splitting import SPLIT_CRITERIA
from memupdate.memory.view import BankView

__all__ = [
    "EMBEDDERS",
    "JSON",
    "MAX_CONTENT_CHARACTERS",
    "MAX_MERGED",
    "MAX_PARTS",
    "MEMORY_TYPES",
    "MERGE_STRATEGIES",
    "MUTATIONS",
    "RANKINGS",
    "READS",
    "SAMPLE_STRATEGIES",
    "SPLIT_CRITERIA",
    "BankView",
    "CachingEmbedder",
    "Embedder",
    "HashingEmbedder",
    "Memory",
    "MemoryBank",
    "Operation",
    "ReadBudget",
    "SearchHit",
    "make_embedder",
    "read_memories",
    "read_within",
    "write_memories",
]
