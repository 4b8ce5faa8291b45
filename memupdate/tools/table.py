"""The table of the tools that a model may call."""

from __future__ import annotations

import functools

from memupdate.errors import FieldError
from memupdate.tables import Table
from memupdate.tools.tool import Tool

TOOLS: Table[type[Tool]] = Table(
    "memupdate.tools",
    "tool",
    {
        "search_memory": "memupdate.tools.search:SearchMemory",
        "manage_memory": "memupdate.tools.manage:ManageMemory",
        "delete_memory": "memupdate.tools.delete:DeleteMemory",
        "sample_memory": "memupdate.tools.sample:SampleMemory",
        "merge_memory": "memupdate.tools.merge:MergeMemory",
        "split_memory": "memupdate.tools.split:SplitMemory",
    },
)


@functools.cache
def tool_names() -> tuple[str, ...]:
    """Returns the names in the table. They are cached, because a search of installed packages takes milliseconds."""
    return tuple(TOOLS)


@functools.cache
def load_tool(name: str) -> Tool:
    """Returns the tool of this name. Each tool is created once.

    Raises:
        FieldError: the table has no such tool, or the entry's object is not a ``Tool`` class of this name.
        ImportError: the tool needs a package that is not installed.
    """
    if name not in tool_names():
        raise FieldError("tool", name, ", ".join(tool_names()))
    found: object = TOOLS.load(name)
    if not (isinstance(found, type) and issubclass(found, Tool) and found.name == name):
        raise FieldError(f"entry {name!r} of {TOOLS.group}", TOOLS[name], f"a Tool class whose name is {name!r}")
    return found()


def verl_class_name(name: str) -> str:
    """Returns the name of a tool's class for verl, such as ``SearchMemoryTool`` for ``search_memory``."""
    return "".join(word.capitalize() for word in name.split("_")) + "Tool"
