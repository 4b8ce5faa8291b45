"""Errors that a user can cause. Each is picklable, so that Ray can send it, and its message says what is allowed."""

from __future__ import annotations

STOPPED = 75  # the exit code of a run that was asked to stop: EX_TEMPFAIL of sysexits.h


class MemupdateError(Exception):
    """Base class of the project's errors. The command line prints the message and exits with code 2."""


class FieldError(MemupdateError):
    """A field of a config, a file or a tool call has a value that is not allowed.

    Attributes:
        field: the field's name; dotted if the field is nested (``reward.scorer``).
        value: the value that was given.
        allowed: the allowed values, in words.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(field, value, allowed)
        self.field = field
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        try:
            shown = repr(self.value)
        except RecursionError:
            shown = f"a {type(self.value).__name__} that is nested too deeply"
        if len(shown) > 200:
            shown = shown[:200] + "…"
        return f"{self.field}: got {shown}; allowed: {self.allowed}"


class UnknownMemoryError(MemupdateError):
    """The bank holds no memory with this id."""

    def __init__(self, memory_id: str) -> None:
        super().__init__(memory_id)
        self.memory_id = memory_id

    def __str__(self) -> str:
        return f"memory_id: {self.memory_id!r} is not in the bank; allowed: an id that search_memory returned"


class DataError(MemupdateError):
    """A data file is missing, truncated or malformed. The message names the file, the place and what is expected."""


class RunStoppedError(MemupdateError):
    """A run was asked to stop and did so. The command line prints the message and exits with code 75.

    The same command, started again, continues the run.
    """
