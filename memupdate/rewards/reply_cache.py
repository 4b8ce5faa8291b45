"""Replies of a language model, kept on disk so that a run can be repeated without the model.

The file has one JSON object per line: ``{"key", "model", "prompt", "reply"}``. Several processes may share it. Lines
are appended under a lock, and a process that misses a key first reads what the others have appended.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import threading
from pathlib import Path

from memupdate.errors import DataError

logger = logging.getLogger(__name__)


def reply_key(model: str, prompt: str) -> str:
    """Returns the SHA-256 of model and prompt, in hex."""
    return hashlib.sha256(json.dumps([model, prompt]).encode()).hexdigest()


class ReplyCache:
    """The replies in one JSON-lines file, by key. Threads, and processes of one machine, may share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replies: dict[str, str] = {}
        self._read_bytes = 0
        self._read_lines = 0
        self._lock = threading.Lock()
        with self._lock:
            self._read_on()

    def get(self, key: str) -> str | None:
        """Returns the reply of a key, or None if there is none.

        Raises:
            DataError: a complete line of the file is not a reply.
        """
        with self._lock:
            if key not in self._replies:
                self._read_on()
            return self._replies.get(key)

    def put(self, model: str, prompt: str, reply: str) -> None:
        """Appends a reply. It is on disk when this returns. A key that has a reply keeps it."""
        line = json.dumps({"key": reply_key(model, prompt), "model": model, "prompt": prompt, "reply": reply})
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _drop_torn_line(file.fileno())
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._read_on()

    def _read_on(self) -> None:
        """Reads the complete lines that follow those already read."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            fresh = file.read()
        complete = fresh[: fresh.rfind(b"\n") + 1]
        for line in complete.splitlines():
            self._read_lines += 1
            try:
                record = json.loads(line)
                self._replies.setdefault(str(record["key"]), str(record["reply"]))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{self.path}, line {self._read_lines}: not a cached reply ({error}); "
                    'expected {"key": ..., "model": ..., "prompt": ..., "reply": ...}'
                ) from error
        self._read_bytes += len(complete)


def _drop_torn_line(descriptor: int) -> None:
    """Cuts off a last line without a newline. Its writer was killed: nobody writes now, because we hold the lock."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    keep = os.pread(descriptor, size, 0).rfind(b"\n") + 1
    logger.warning("reply cache: dropping a torn last line of %d bytes", size - keep)
    os.ftruncate(descriptor, keep)
