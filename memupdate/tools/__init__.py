"""The six memory tools: ``calls`` is plain Python; the classes that verl loads are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memupdate.extras import missing_extras_named
from memupdate.tools.calls import TOOLS, CallContext, Parameter, check_arguments, error_text, parse_call, result_text
from memupdate.tools.counts import TrajectoryCounts, counts_in

if TYPE_CHECKING:
    from memupdate.tools.verl_tools import (
        DeleteMemoryTool,
        ManageMemoryTool,
        MemoryTool,
        MergeMemoryTool,
        SampleMemoryTool,
        SearchMemoryTool,
        SplitMemoryTool,
    )

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
    "TrajectoryCounts",
    "check_arguments",
    "counts_in",
    "error_text",
    "parse_call",
    "result_text",
]


def __getattr__(name: str) -> object:
    if name.endswith("MemoryTool") or name == "MemoryTool":
        with missing_extras_named():
            from memupdate.tools import verl_tools

        if hasattr(verl_tools, name):
            return getattr(verl_tools, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
