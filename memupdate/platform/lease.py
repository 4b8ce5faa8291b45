"""The lease of a run's folder: at most one run writes to a folder.

``lease.lock`` is locked with flock as long as one of the run's processes lives: the command, its supervisor, or the
driver, which inherit the open file. The kernel frees it when the last of them is dead, also in another container on the
same machine. ``lease.json`` says who holds it, and its time of change is the heartbeat. The heartbeat counts for
holders on other machines, whose locks this machine may not see.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from memupdate.errors import FieldError, MemupdateError
from memupdate.files import write_atomically

logger = logging.getLogger(__name__)

LOCK, HOLDER = "lease.lock", "lease.json"
TOKEN = "MEMUPDATE_LEASE"  # the holder's token, in the environment of every process of the run
HEARTBEAT_S = 10.0
STALE_S = 300.0
ORPHANS_END_S = 60.0


@dataclass(frozen=True)
class Holder:
    """Who holds a lease.

    Attributes:
        host: the machine's name.
        boot: the kernel's boot id.
        pid_namespace: the inode of the pid namespace; containers have their own.
        pid: the process.
        started: when the process started, in seconds since 1970.
        token: a random name of this hold.
    """

    host: str
    boot: str
    pid_namespace: int
    pid: int
    started: float
    token: str

    @classmethod
    def me(cls) -> Holder:
        """Returns this process as a holder, with a new token."""
        process = psutil.Process()
        return cls(
            socket.gethostname(), boot_id(), pid_namespace(), process.pid, process.create_time(), uuid.uuid4().hex
        )

    def is_dead_here(self) -> bool:
        """Returns whether this machine proves that the holder is dead. It does so for its own pid namespace only."""
        if (self.boot, self.pid_namespace) != (boot_id(), pid_namespace()):
            return False
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) > 1)
        except psutil.NoSuchProcess:
            return True


class LeaseHeldError(MemupdateError):
    """Another process holds the folder. The message says which."""


def boot_id() -> str:
    """Returns the id of this boot of this machine's kernel. Containers on the machine share it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> int:
    """Returns the inode of this process's pid namespace."""
    return Path("/proc/self/ns/pid").stat().st_ino


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Holds the lease of a folder until the block ends. Creates the folder if it is missing.

    A process that was started by the holder has the lease already.

    Raises:
        LeaseHeldError: another process holds it.
        FieldError: the folder's file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = _read(folder)
    if present is not None and os.environ.get(TOKEN) == present.token:
        yield
        return
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        mine = _take(folder, descriptor)
        os.set_inheritable(descriptor, True)
        outer = os.environ.get(TOKEN)
        os.environ[TOKEN] = mine.token
        over = threading.Event()
        heart = threading.Thread(target=_beat, args=(folder, mine.token, over), daemon=True, name="lease")
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            (folder / HOLDER).unlink(missing_ok=True)
            if outer is None:
                del os.environ[TOKEN]
            else:
                os.environ[TOKEN] = outer
    finally:
        os.close(descriptor)


def refuse_held(folder: Path) -> None:
    """Refuses a folder that another process holds now, before the long checks of a start. Writes nothing.

    Raises:
        LeaseHeldError: another process holds it, and is not known to be dead.
    """
    if not (folder / LOCK).is_file():
        return
    descriptor = os.open(folder / LOCK, os.O_RDWR)
    try:
        holder = _read(folder)
        if not _lock(folder, descriptor) and (holder is None or not holder.is_dead_here()):
            raise _held(folder, holder, descriptor)
    finally:
        os.close(descriptor)


def _take(folder: Path, descriptor: int) -> Holder:
    """Locks the file, or raises LeaseHeldError. Writes this process as the holder and returns it."""
    deadline = time.monotonic() + ORPHANS_END_S
    while not _lock(folder, descriptor):
        holder = _read(folder)
        if holder is None or not holder.is_dead_here() or time.monotonic() > deadline:
            raise _held(folder, holder, descriptor)
        # The command is dead and its driver is not yet: it must not train on beside this start.
        _end_orphans(holder)
        time.sleep(0.05)
    earlier = _read(folder)
    if earlier is not None:
        if earlier.boot != boot_id() and _age(folder, descriptor) < STALE_S:
            raise _held(folder, earlier, descriptor)
        logger.warning(
            "taking over %s: process %d on %s ended without giving it back", folder, earlier.pid, earlier.host
        )
        if earlier.boot == boot_id():
            _end_orphans(earlier)
    mine = Holder.me()
    write_atomically(folder / HOLDER, json.dumps(asdict(mine)) + "\n")
    return mine


def _lock(folder: Path, descriptor: int) -> bool:
    """Returns whether the file could be locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        allowed = f"a folder on a file system with flock ({error.strerror})"
        raise FieldError("the run's folder", str(folder), allowed) from error
    return True


def _held(folder: Path, holder: Holder | None, descriptor: int) -> LeaseHeldError:
    if holder is None:
        return LeaseHeldError(f"{folder}: another process is starting or ending a run in it; allowed: wait for it")
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started))
    return LeaseHeldError(
        f"{folder}: held by process {holder.pid} on {holder.host}, started {since}, last seen "
        f"{_age(folder, descriptor):.0f} s ago; allowed: wait until it ends, stop it, or choose another folder. "
        f"From another machine, a holder counts as dead after {STALE_S:.0f} s without a sign"
    )


def _read(folder: Path) -> Holder | None:
    """Returns the recorded holder, or None if there is none."""
    try:
        return Holder(**json.loads((folder / HOLDER).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise FieldError(
            str(folder / HOLDER), str(error), "a lease; delete the file if no run uses the folder"
        ) from error


def _age(folder: Path, descriptor: int) -> float:
    """Returns the seconds since the last heartbeat, by the clock of the file system."""
    os.utime(descriptor)
    try:
        return os.fstat(descriptor).st_mtime - (folder / HOLDER).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _beat(folder: Path, token: str, over: threading.Event) -> None:
    """Renews the lease every few seconds. Ends this process if another one has taken the lease over."""
    while not over.wait(HEARTBEAT_S):
        try:
            present = _read(folder)
            os.utime(folder / HOLDER)
        except FileNotFoundError:
            present = None
        except OSError as error:
            logger.warning("%s: no heartbeat: %s", folder, error)  # a file system that is away comes back
            continue
        if present is None or present.token != token:
            logger.critical("%s: another run has taken the folder over: ending this one", folder)
            os._exit(1)  # the supervisor sees that this process is gone and ends the others


def _end_orphans(holder: Holder) -> None:
    """Kills what is left of a dead holder's run on this machine: the processes with its token in their environment."""
    marker = f"{TOKEN}={holder.token}".encode()
    orphans = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and marker in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                process.kill()
                orphans.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, PermissionError, FileNotFoundError, ProcessLookupError):
            continue
    if orphans:
        logger.warning("ended %d processes that the earlier run had left", len(orphans))
        psutil.wait_procs(orphans, timeout=ORPHANS_END_S)
