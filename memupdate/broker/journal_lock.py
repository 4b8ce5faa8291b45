"""The lock of a journal's folder. One process holds it at a time; it ends with the process."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

from memupdate.broker.journal_file import JournalError

LOCK = "lock"
_RETRY_S = 0.05


def locked(folder: Path, wait_s: float) -> int:
    """Locks a folder and returns the descriptor that holds the lock until it is closed or the process ends.

    Args:
        folder: the journal's folder. Its lock file is created if it is missing.
        wait_s: seconds to wait for another process to release the lock.

    Raises:
        JournalError: another process still holds the lock.
        OSError: the file cannot be opened or locked.
    """
    path = folder / LOCK
    deadline = time.monotonic() + wait_s
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, lock):
                return lock
            os.close(lock)  # its last holder removed the file; the next one is another file
        except BlockingIOError as error:
            os.close(lock)
            if time.monotonic() + _RETRY_S > deadline:
                raise JournalError(str(folder), "another process holds this journal") from error
            time.sleep(_RETRY_S)
        except OSError:
            os.close(lock)
            raise


def is_lock(path: Path) -> bool:
    """Returns whether a path is a lock file that ``locked`` may have created: an empty file of its name."""
    if path.name != LOCK or not path.exists():
        return False
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size == 0


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
