"""Building blocks of the tools' reply texts."""

from __future__ import annotations

from memupdate.errors import MemupdateError

NO_MEMORIES = "No memories found."


def error_text(error: MemupdateError | str) -> str:
    """Returns the text of an error as the model reads it."""
    return f"Error: {error}"


def one_line(text: str) -> str:
    """Replaces each run of white space by one space, so that a memory takes one line of a reply."""
    return " ".join(text.split())
