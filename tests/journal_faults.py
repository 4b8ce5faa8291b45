"""System calls that fail, or during which the process dies. Nothing lists the calls: they are found by recording.

While a ``Disk`` is in place, the journal's modules and ``pathlib`` call it instead of ``os``, ``io`` and ``fcntl``. It
counts every call of a function of these modules, and disturbs one of them. Nothing is synced: what a test reads next is
what the process had handed to the system.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import Any

import memupdate.files

# These do not reach the system's files, or cannot fail.
PURE = {"fspath", "fsencode", "fsdecode", "strerror", "getpid", "text_encoding", "getcwd", "get_terminal_size"}
SYNCS = {"fsync", "fdatasync"}
# How a call is disturbed: it fails without effect, or after its effect; it does half of its work, and goes on or fails.
FAULTS = ("refused", "done but refused", "half", "half and refused")


class Disk:
    """Stands in for the system's modules, in a ``with`` block.

    Args:
        at: the number of the call to disturb, from 0; None for none.
        fault: one of ``FAULTS``.
        lasting: whether all later calls that change something are refused too.
        moment: called before and after every call, and in the middle of a write. A process can die at any of them.
    """

    def __init__(
        self,
        at: int | None = None,
        fault: str = "refused",
        *,
        lasting: bool = False,
        moment: Callable[[], None] | None = None,
    ) -> None:
        self.calls: list[str] = []
        self.struck = False
        self._at, self._fault, self._lasting = at, fault, lasting
        self._moment = moment or (lambda: None)
        self._aside = False
        self._replaced: list[tuple[ModuleType, str, ModuleType]] = []

    def __enter__(self) -> Disk:
        ours = [module for name, module in sys.modules.items() if name.startswith("memupdate.broker.journal")]
        for module in [*ours, memupdate.files, pathlib]:
            for real in (os, io, fcntl):
                if vars(module).get(real.__name__) is real:
                    self._replaced.append((module, real.__name__, real))
                    setattr(module, real.__name__, _Recorded(real, self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.repair()
        for module, name, real in self._replaced:
            setattr(module, name, real)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Neither counts nor disturbs the calls of the block."""
        before, self._aside = self._aside, True
        try:
            yield
        finally:
            self._aside = before

    def repair(self) -> None:
        """Disturbs nothing from now on."""
        self._at = None

    def call(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Carries out a call, or disturbs it."""
        if self._aside:
            return self._whole(name, real, *args, **kwargs)
        number = len(self.calls)
        self.calls.append(name)
        self._now()
        if self._at is None or number < self._at or (number > self._at and not self._lasting):
            answer = self._halves(real, *args) if name == "write" else self._whole(name, real, *args, **kwargs)
            self._now()
            return answer
        self.struck = True
        return self._disturbed(name, real, *args, **kwargs)

    def _now(self) -> None:
        with self.aside():
            self._moment()

    def _whole(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return None if name in SYNCS else real(*args, **kwargs)

    def _halves(self, real: Callable[..., int], file: int, data: bytes) -> int:
        """Writes everything, with a moment between the halves."""
        half = len(data) // 2
        written = real(file, data[:half]) if half else 0
        self._now()
        return written + real(file, data[half:])

    def _disturbed(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if name == "write" and self._fault.startswith("half"):
            file, data = args
            written = real(file, data[: len(data) // 2]) if len(data) > 1 else 0
            if self._fault == "half" and written:
                return written
            raise OSError(errno.ENOSPC, "No space left on device")
        # A descriptor is gone after a close, whatever the close returns.
        if name == "close" or self._fault == "done but refused":
            answer = self._whole(name, real, *args, **kwargs)
            if name == "open":
                answer.close() if hasattr(answer, "close") else os.close(answer)
        raise OSError(errno.EIO, "Input/output error")


class _Recorded:
    """One of the system's modules, whose functions report to the disk."""

    def __init__(self, real: ModuleType, disk: Disk) -> None:
        self._real, self._disk = real, disk

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name in PURE or isinstance(found, type) or not callable(found):
            return found
        return lambda *args, **kwargs: self._disk.call(name, found, *args, **kwargs)
