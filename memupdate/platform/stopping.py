"""Requests to stop a run: signals to the command, a file for the trainer, and a limit of time.

The command of a run gets the signal. The trainer may be a Ray actor on another machine, and so it learns of the request
from a file in the run's folder, at which it looks between the parts of a step.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from memupdate.errors import FieldError, RunStoppedError
from memupdate.files import write_atomically

STOP_FILE = "stop-requested"
STOPPED_FILE = "stopped"  # the trainer's answer: the step and the reason
END_AT = "MEMUPDATE_END_AT"  # the time of --max-hours, in seconds since 1970, for the processes of the run
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
# A scheduler may signal a process and its group. Two signals within this time are one request.
SAME_REQUEST_S = 0.5
# After a stop by --max-hours, a run needs this time to write its checkpoint and to end its processes.
ENDING_S = 20.0


class StopSignals:
    """Counts the requests to stop that this process gets as signals.

    The first request asks the run to stop, the second ends it at once. While no stage runs there is nothing to save,
    and the first signal raises RunStoppedError.

    Attributes:
        count: the number of requests; 2 at the limit of time.
    """

    def __init__(self) -> None:
        self.count = 0
        self._last = -SAME_REQUEST_S
        self._stages = 0

    def reset(self) -> None:
        """Forgets all requests."""
        self.count, self._last = 0, -SAME_REQUEST_S

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        now = time.monotonic()
        if number != signal.SIGALRM and now - self._last < SAME_REQUEST_S:
            return
        self._last = now
        self.count = 2 if number == signal.SIGALRM else self.count + 1
        if not self._stages:
            raise RunStoppedError(f"stopped by {signal.Signals(number).name}; the same command continues the job")

    @contextmanager
    def deferred(self) -> Iterator[StopSignals]:
        """Counts signals without raising an error, while the caller runs a stage and looks at ``count``."""
        self._stages += 1
        try:
            yield self
        finally:
            self._stages -= 1


signals = StopSignals()


@contextmanager
def stop_signals(max_hours: float | None = None) -> Iterator[None]:
    """Handles SIGTERM, SIGUSR1 and SIGINT as requests to stop, until the block ends.

    Args:
        max_hours: the limit of time; None for none. The trainer stops before it, and at the limit every process of the
            run is ended.

    Raises:
        FieldError: the limit is not a positive number.
        RunStoppedError: a signal came while no stage ran.
    """
    if max_hours is not None and not 0 < max_hours < float("inf"):
        raise FieldError("--max-hours", max_hours, "a number of hours above 0")
    signals.reset()  # a second command in one process counts anew
    earlier = {number: signal.signal(number, signals.receive) for number in (*SIGNALS, signal.SIGALRM)}
    if max_hours is not None:
        os.environ[END_AT] = str(time.time() + max_hours * 3600)
        signal.setitimer(signal.ITIMER_REAL, max_hours * 3600)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.environ.pop(END_AT, None)
        for number, handler in earlier.items():
            signal.signal(number, handler)
        signals.reset()  # a stage that starts outside of such a block has not been asked to stop


class StopRequests:
    """What a trainer asks between the parts of a step: has it been asked to stop, or is its time over?

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / STOP_FILE
        self._end_at = float(os.environ.get(END_AT, "inf"))
        self._began: float | None = None
        self._longest = 0.0

    def step_begins(self) -> None:
        """Notes the beginning of a step, from which the time of a step is known."""
        now = time.monotonic()
        if self._began is not None:
            self._longest = max(self._longest, now - self._began)
        self._began = now

    def reason(self) -> str | None:
        """Returns why the run must stop now; None if it need not.

        The time counts as over if two more steps as long as the longest would exceed it.
        """
        if self._file.exists():
            return "asked to stop"
        left = self._end_at - time.time()
        if left < 2 * self._longest + ENDING_S:
            return f"{max(left, 0):.0f} s left of --max-hours, and a step took {self._longest:.0f} s"
        return None

    def stopped(self, step: int, reason: str) -> RunStoppedError:
        """Writes the answer to the request, and returns the error with which the trainer ends.

        The answer is a file, because not every process between trainer and command hands an exit code on.

        Args:
            step: the step of the newest checkpoint.
            reason: from :meth:`reason`.
        """
        text = f"stopped after step {step} ({reason}); the same command continues the run"
        write_atomically(self._file.with_name(STOPPED_FILE), text + "\n")
        return RunStoppedError(text)
