"""The memory tools, one file each, and the table of their names.

The classes that verl loads (``SearchMemoryTool`` for ``search_memory``) are created on first use; the rest works
without verl. This package also has such a class for each tool that another package adds to the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memupdate.extras import missing_extras_named
from memupdate.tools.counts import TrajectoryCounts, counts_in
from memupdate.tools.parameter import Parameter
from memupdate.tools.replies import error_text
from memupdate.tools.table import TOOLS, load_tool, tool_names, verl_class_name
from memupdate.tools.tool import CallContext, Tool

if TYPE_CHECKING:
    from memupdate.tools.verl_tools import MemoryTool

    DeleteMemoryTool: type[MemoryTool]
    ManageMemoryTool: type[MemoryTool]
    MergeMemoryTool: type[MemoryTool]
    SampleMemoryTool: type[MemoryTool]
    SearchMemoryTool: type[MemoryTool]
    SplitMemoryTool: type[MemoryTool]

__all__ = [
    "TOOLS",
    "CallContext",
    "DeleteMemoryTool",
    "ManageMemoryTool",
    "MemoryTool",
    "MergeMemoryTool",
    "Parameter",
    "SampleMemoryTool",
    "SearchMemoryTool",
    "SplitMemoryTool",
    "Tool",
    "TrajectoryCounts",
    "counts_in",
    "error_text",
    "load_tool",
    "tool_names",
]


def __getattr__(attribute: str) -> object:
    classes = {verl_class_name(name): name for name in tool_names()} if attribute.endswith("Tool") else {}
    if attribute != "MemoryTool" and attribute not in classes:
        raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
    with missing_extras_named():
        from memupdate.tools import verl_tools

    return verl_tools.MemoryTool if attribute == "MemoryTool" else verl_tools.verl_class(classes[attribute])
