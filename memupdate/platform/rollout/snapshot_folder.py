"""The folder of a rollout server's snapshots, in a tmpfs that containers may share."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "memupdate_policy_"
OWNER = "owner.lock"


def make_root(parent: str) -> Path:
    """Creates a snapshot folder that is removed when this process ends.

    First removes the folders of processes that are dead. The proof is the lock on a file in the folder, which the
    kernel frees when its owner dies. Containers that share the parent folder see each other's locks. Their pids would
    prove nothing.

    Args:
        parent: the folder in which to create it.
    """
    base = Path(parent)
    for old in base.glob(f"{PREFIX}*_*"):
        _remove_if_dead(old)
    new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}{os.getpid()}_", dir=base))
    owner = os.open(new / OWNER, os.O_RDWR | os.O_CREAT, 0o600)  # open, and so locked, until this process ends
    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    root = new.with_name(new.name.removeprefix("."))
    new.rename(root)  # from here on, other processes look at its lock
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _remove_if_dead(folder: Path) -> None:
    """Removes a snapshot folder if its owner is dead. A folder without an owner's file proves nothing and stays."""
    try:
        owner = os.open(folder / OWNER, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)  # another process may remove it at the same time
    except BlockingIOError:
        return
    finally:
        os.close(owner)
