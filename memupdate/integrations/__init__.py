"""Memory banks for other frameworks: LangGraph's store and tools, LangMem (through the store), and MCP.

Names are imported on first use, so that each integration loads only the packages that it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memupdate.broker import RefusedError
    from memupdate.integrations.banks import open_bank
    from memupdate.integrations.langgraph_store import MemoryBankStore
    from memupdate.integrations.langgraph_tools import memory_tools
    from memupdate.integrations.mcp_server import memory_server

__all__ = ["MemoryBankStore", "RefusedError", "memory_server", "memory_tools", "open_bank"]

_HOMES = {
    "MemoryBankStore": "memupdate.integrations.langgraph_store",
    "RefusedError": "memupdate.broker",
    "open_bank": "memupdate.integrations.banks",
    "memory_server": "memupdate.integrations.mcp_server",
    "memory_tools": "memupdate.integrations.langgraph_tools",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
