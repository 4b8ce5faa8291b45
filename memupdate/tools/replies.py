"""Parts of the texts with which tools reply."""

from __future__ import annotations

from memupdate.errors import MemupdateError

NO_MEMORIES = "No memories found."


def error_text(error: MemupdateError | str) -> str:
    """Returns what the model reads of an error."""
    return f"Error: {error}"


def one_line(text: str) -> str:
    """Returns ``text`` with every run of white space as one space, so that a memory takes one line of a reply."""
    return " ".join(text.split())
