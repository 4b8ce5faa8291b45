"""The rollouts of a run that failed, as appended JSON lines. Several processes append to the file."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from memupdate.errors import MemupdateError

FILE = "failures.jsonl"
LONGEST = 600
TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def describe(error: BaseException) -> str:
    """Returns the type and the message of an error in one line. This project's own errors need no type.

    An error that Ray brought from another process is shown as the error that was raised there.
    """
    inner = getattr(error, "cause", None)  # ray.exceptions.RayTaskError
    while isinstance(inner, BaseException):
        error, inner = inner, getattr(inner, "cause", None)
    if isinstance(error, MemupdateError):
        return one_line(str(error))
    return one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def one_line(text: str) -> str:
    """Returns a text in one line of at most ``LONGEST`` characters."""
    line = " ".join(TERMINAL_COLOURS.sub("", text).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


@dataclass(frozen=True)
class Failure:
    """A rollout that failed.

    Attributes:
        step: the training step.
        rollout: names the rollout within its step.
        error: type and message of its error, in one line.
        pid: the process that found the error.
        log: the log of that process; empty if unknown.
    """

    step: int
    rollout: str
    error: str
    pid: int
    log: str


class FailureLog:
    """The file ``failures.jsonl`` of a run.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / FILE

    def append(self, step: int, rollout: str, error: str) -> None:
        """Appends one failure, in a single write.

        Args:
            step: the training step.
            rollout: names the rollout.
            error: the error, as :func:`describe` returns it.
        """
        failure = Failure(step, rollout, one_line(error), os.getpid(), process_log())
        line = json.dumps(asdict(failure)) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def size(self) -> int:
        """Returns the length of the file in bytes, as the mark of what was there before."""
        return self.path.stat().st_size if self.path.exists() else 0

    def since(self, mark: int) -> list[Failure]:
        """Returns the failures after a mark, oldest first."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(mark)
            lines = file.read().decode().split("\n")
        return [Failure(**json.loads(line)) for line in lines[:-1]]  # the last piece is empty, or half written


def process_log() -> str:
    """Returns the file to which this process writes its standard error; empty if that is not a file."""
    try:
        target = Path("/proc/self/fd/2").readlink()
    except OSError:
        return ""
    return str(target) if target.is_absolute() and target.is_file() else ""
