"""Runs a command and ends every process that it leaves: ``python -m memupdate.platform.supervisor STOP_FILE COMMAND``.

A stage starts processes in sessions of their own: Ray's daemons and workers, torchrun's ranks, an engine's schedulers.
The supervisor is the parent of all that lose theirs, and so it finds each of them, whatever its name and session.

It ends all of them if the command ends, if it is asked for the second time, or if its own parent is gone. The parent
holds the other end of its standard input: a byte is a request to stop, and the end of the file means that it is dead.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from memupdate.errors import STOPPED
from memupdate.files import write_atomically
from memupdate.platform.stopping import STOPPED_FILE, signals, stop_signals

logger = logging.getLogger(__name__)

NO_FILE = "-"
POLL_S = 0.1
ENDING_DEADLINE_S = 60.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int | None = None) -> None:
    """Has the kernel send SIGKILL to this process when its parent dies.

    Args:
        parent: the parent's pid, if this process was just forked. It ends at once if this parent is gone already.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def supervise(command: Sequence[str], stop_file: Path | None, parent: int | None = None) -> int:
    """Runs a command, and returns when it and every process that it started have ended.

    The caller handles signals (:func:`memupdate.platform.stopping.stop_signals`). The first one asks the command to
    stop, the second one ends it.

    Args:
        command: the command. It inherits the environment and every descriptor that may be inherited.
        stop_file: the file to write at the first request to stop; None if the command cannot be asked, and is ended.
        parent: a descriptor from which the parent's requests are read; None if the parent sends none.

    Returns:
        75 if the command stopped or was ended after a request; otherwise its exit code.
    """
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    if stop_file is not None:  # request and answer of an earlier start
        stop_file.unlink(missing_ok=True)
        stop_file.with_name(STOPPED_FILE).unlink(missing_ok=True)
    me = os.getpid()
    with signals.deferred():
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a signal to the group of this process is a request, and must not end a step
            close_fds=False,  # the lease of the run's folder is an open file, and lasts as long as one of its holders
            preexec_fn=lambda: die_with_parent(me),
        )
        try:
            return _watch(process, stop_file, parent)
        finally:
            _end_all(process)


def _watch(process: subprocess.Popen[bytes], stop_file: Path | None, parent: int | None) -> int:
    """Waits for the command to end, or for a reason to end it. Returns the exit code."""
    from_parent, asked = 0, False
    while process.poll() is None:
        if parent is None:
            time.sleep(POLL_S)
        elif select.select([parent], [], [], POLL_S)[0]:
            received = os.read(parent, 16)
            if not received:
                logger.error("the process that started this stage is gone: ending the stage")
                return 1
            from_parent += len(received)
        _reap(process.pid)
        requests = max(from_parent, signals.count)
        if requests >= 2 or (requests == 1 and stop_file is None):
            return STOPPED
        if requests == 1 and not asked and stop_file is not None:
            write_atomically(stop_file, "stop after the current part of the step\n")
            asked = True
    if stop_file is not None and stop_file.with_name(STOPPED_FILE).is_file():
        return STOPPED
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _reap(command: int) -> None:
    """Collects dead processes that were handed over to this one. The command's own end is left to its Popen."""
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if dead is None or dead.si_pid == command:
            return
        os.waitpid(dead.si_pid, 0)


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """Kills the command and all of its descendants. New ones appear while old ones are killed, so it looks again."""
    process.kill()
    process.wait()
    deadline = time.monotonic() + ENDING_DEADLINE_S
    while time.monotonic() < deadline:
        _reap(process.pid)
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        for one in left:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=1)
    logger.error("processes %s do not end", [one.pid for one in psutil.Process().children(recursive=True)])


def main(arguments: Sequence[str]) -> int:
    """Supervises the command in the arguments; standard input is the parent's end."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stop_file, *command = arguments
    with stop_signals():
        return supervise(command, None if stop_file == NO_FILE else Path(stop_file), parent=sys.stdin.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
