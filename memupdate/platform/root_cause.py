"""The first cause of a run's end, in one line with the place of the log.

The process that finds the cause writes it to ``cause.json`` in the run's folder. The first writer wins, because what
fails later is mostly a consequence. A process that was killed writes nothing. Its starter then reads the cause from the
end of the log.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from memupdate.failures import TERMINAL_COLOURS, one_line

FILE = "cause.json"
# The last line of a traceback: the error's class, dotted or ending in a usual word, and its message.
_ERROR_LINE = re.compile(
    r"^(?:\([^)]*\)\s*)?((?:[\w]+\.)+[A-Z]\w*|[A-Z]\w*(?:Error|Exception|Interrupt))(?::\s+(.*))?$"
)


@dataclass(frozen=True)
class Cause:
    """The first cause of a run's end.

    Attributes:
        what: the cause in one line.
        pid: the process that found it.
        host: the machine of that process.
        time: when it was found, in seconds since 1970.
    """

    what: str
    pid: int
    host: str
    time: float


def note(run_dir: Path, what: str) -> bool:
    """Writes the cause of a run's end, unless one is written already.

    Args:
        run_dir: the run's folder.
        what: the cause.

    Returns:
        Whether this call wrote it.
    """
    cause = Cause(one_line(what), os.getpid(), os.uname().nodename, time.time())
    partial = run_dir / f".{FILE}.{cause.host}.{cause.pid}.{time.monotonic_ns()}.partial"
    partial.write_text(json.dumps(asdict(cause)))
    try:
        os.link(partial, run_dir / FILE)  # complete from the first moment, and refused if there is one
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    return True


def read(run_dir: Path) -> Cause | None:
    """Returns the cause in a run's folder, or None if no process wrote one."""
    path = run_dir / FILE
    return Cause(**json.loads(path.read_text())) if path.is_file() else None


def clear(run_dir: Path) -> None:
    """Removes the cause of an earlier start of the run."""
    (run_dir / FILE).unlink(missing_ok=True)


@dataclass(frozen=True)
class Beginning:
    """The beginning of a process whose output is appended to a log. The run's folder is the log's folder.

    Attributes:
        log: the log.
        size: the length of the log at the beginning, in bytes.
        time: the time of the beginning, in seconds since 1970.
    """

    log: Path
    size: int
    time: float

    @classmethod
    def of(cls, log: Path) -> Beginning:
        """Returns the beginning of a process that starts now."""
        return cls(log, log.stat().st_size if log.exists() else 0, time.time())

    def why(self, code: int) -> str:
        """Returns one line on why the process ended: the first cause, and the place of the log.

        Args:
            code: the exit code of the process; negative for a signal.
        """
        return f"{self._cause(code)} (log: {self.log})"

    def _cause(self, code: int) -> str:
        cause = read(self.log.parent)
        if cause is not None and cause.time >= self.time:
            return cause.what
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        with self.log.open("rb") as file:
            file.seek(self.size)
            return last_error(file.read().decode(errors="replace")) or f"exit code {code}"


def last_error(text: str) -> str:
    """Returns the error of the last traceback in a text, in one line, or an empty text if there is none."""
    lines = TERMINAL_COLOURS.sub("", text).splitlines()
    for number in range(len(lines) - 1, -1, -1):
        found = _ERROR_LINE.fullmatch(lines[number].strip())
        if found:
            rest = [line for line in lines[number + 1 :] if line[:1].isspace()]  # Ray indents what it knows of an actor
            return one_line(" ".join([lines[number], *rest]))
    return ""
