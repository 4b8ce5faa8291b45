"""An append-only journal of JSON records. A record is acknowledged only when it is on disk.

``journal_file`` describes the file format. ``memupdate.files`` does not fit, because it replaces whole files. A journal
appends to its file, syncs a whole batch at once, and truncates the file after a failed write.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from memupdate.broker.journal_file import (
    HEADER,
    JournalError,
    Record,
    encoded,
    encoded_line,
    good_lines,
    locked,
    newest_generation,
    sync_folder,
    write_all,
    write_generation,
)
from memupdate.errors import DataError

__all__ = ["Journal", "JournalError", "Record", "check_written", "erase"]

logger = logging.getLogger(__name__)


class _Batch:
    """Records that share one write and one fsync."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.on_disk: Future[None] = Future()
        self.on_disk.set_running_or_notify_cancel()  # all records share it, so no caller may cancel it


class Journal:
    """A journal in one folder, locked by one process.

    Records that arrive during a write share the next write and its fsync. An event loop never waits for the disk,
    because the journal's thread writes for it. A thread that may block writes by itself, with ``collect`` and
    ``commit``.

    Args:
        folder: the journal's folder; created if it is missing.
        lock_wait_s: seconds to wait for another process to release the folder. A killed process takes a while to end.

    Raises:
        JournalError: the folder cannot be written, or another process holds it.
    """

    def __init__(self, folder: Path, lock_wait_s: float = 10.0) -> None:
        self.folder = folder
        self._collecting: _Batch | None = None
        self._collects = threading.Lock()
        self._writes = threading.Lock()  # held during every access to the file
        self._torn = False
        self._closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = locked(folder / "lock", lock_wait_s)
            self._path = newest_generation(folder)
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise JournalError(str(folder), error.strerror or str(error)) from error
        self._next = 0
        self._size = 0
        # Writes for callers that must not block.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    @property
    def size(self) -> int:
        """The size of the current generation in bytes."""
        return self._size

    def recover(self) -> Iterator[Record]:
        """Yields every record, in order. Exhaust it once, before the first ``append``.

        Raises:
            DataError: a record is damaged. The message names the file and the line.
            JournalError: a torn record cannot be cut off.
        """
        for end, number, body in good_lines(self._path):
            record = json.loads(body)
            if number:
                yield record
            elif record != HEADER:
                raise DataError(f"{self._path}:1: expected the header {HEADER}, found {record}")
            self._next += 1
            self._size = end
        torn = self._path.stat().st_size - self._size
        if torn:
            logger.warning("%s: dropped %d bytes that a crash left unfinished at its end", self._path, torn)
            self._cut()

    async def append(self, record: Record) -> None:
        """Appends a record and waits until it is on disk.

        Raises:
            JournalError: the record could not be written. It will not be written later.
        """
        on_disk = self.append_soon(record)
        written = asyncio.wrap_future(on_disk)
        # The caller gets the error from the batch. If it were not read here, asyncio would log it as never retrieved.
        written.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([written])
        check_written(on_disk)

    def append_soon(self, record: Record) -> Future[None]:
        """Adds a record as ``collect`` does, and lets the journal's thread write the batch. Returns the same future."""
        on_disk, leads = self.collect(record)
        if leads:
            self.commit_soon()
        return on_disk

    def collect(self, record: Record) -> tuple[Future[None], bool]:
        """Adds a record to the next batch. Any thread may call it.

        Returns:
            A future, and whether the record is the first of its batch. The future is done when the batch is on disk; it
            has a ``JournalError`` if the write failed. The caller with the first record must call ``commit`` for the
            whole batch.

        Raises:
            JournalError: the journal is closed.
        """
        body = encoded(record)
        with self._collects:
            if self._closed:
                raise JournalError(str(self.folder), "this broker was stopped")
            leads = self._collecting is None
            if self._collecting is None:
                self._collecting = _Batch()
            self._collecting.bodies.append(body)
            return self._collecting.on_disk, leads

    def commit_soon(self) -> None:
        """Lets the journal's thread call ``commit``."""
        self._writer.submit(self.commit)

    def commit(self) -> None:
        """Writes the collected batch, after any batch that is being written. Blocks.

        An error is not raised here. The batch's future gets it.
        """
        with self._writes:
            with self._collects:
                batch, self._collecting = self._collecting, None
            if batch is None:
                return
            try:
                self._write(batch.bodies)
            except BaseException as error:  # noqa: BLE001  every waiting caller gets it
                batch.on_disk.set_exception(error)
            else:
                batch.on_disk.set_result(None)

    async def compact(self, choose: Callable[[Iterable[Record]], Sequence[bool]]) -> None:
        """Replaces the file by a new one with only the chosen records. A crash leaves the old or the new file complete.

        Args:
            choose: returns, for each record in order, whether it stays.

        Raises:
            JournalError: the new file cannot be written. The old one stays in use.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._compact, choose)

    async def close(self) -> None:
        """Waits until all appended records are written, and releases the folder."""
        with self._collects:
            self._closed = True
        await asyncio.to_thread(self.commit)
        await asyncio.to_thread(self._writer.shutdown)
        os.close(self._file)
        os.close(self._lock)

    def _write(self, bodies: Sequence[bytes]) -> None:
        if self._torn:
            self._cut()
        lines = b"".join(encoded_line(self._next + place, self._next, body) for place, body in enumerate(bodies))
        try:
            write_all(self._file, lines)
            os.fdatasync(self._file)
        except OSError as error:
            self._torn = True
            try:
                self._cut()
            except JournalError:
                logger.exception("%s ends in a record that failed; nothing is written before it can be cut", self._path)
            raise JournalError(str(self._path), error.strerror or str(error)) from error
        self._next += len(bodies)
        self._size += len(lines)

    def _cut(self) -> None:
        try:
            os.ftruncate(self._file, self._size)
            os.fdatasync(self._file)
        except OSError as error:
            raise JournalError(str(self._path), error.strerror or str(error)) from error
        self._torn = False

    def _compact(self, choose: Callable[[Iterable[Record]], Sequence[bool]]) -> None:
        with self._writes:
            self._compact_held(choose)

    def _compact_held(self, choose: Callable[[Iterable[Record]], Sequence[bool]]) -> None:
        if self._torn:
            self._cut()
        stays = choose(json.loads(body) for body in self._bodies())
        chosen = (body for body, stay in zip(self._bodies(), stays, strict=True) if stay)
        old, old_file = self._path, self._file
        target = self.folder / f"{int(old.stem) + 1:08d}.jsonl"
        try:
            count, size = write_generation(target, chosen)
            self._file = os.open(target, os.O_WRONLY | os.O_APPEND)
            self._path, self._next, self._size = target, count, size
            os.close(old_file)
            old.unlink()
            sync_folder(self.folder)
        except OSError as error:
            raise JournalError(str(target), error.strerror or str(error)) from error

    def _bodies(self) -> Iterator[bytes]:
        lines = good_lines(self._path)
        next(lines)  # the header
        return (body for _, _, body in lines)


def check_written(on_disk: Future[None]) -> None:
    """Waits for a future that ``append_soon`` or ``collect`` returned.

    Raises:
        JournalError: the record is not on disk. Each call raises a new exception, because all callers of a batch share
            the future's exception.
    """
    error = on_disk.exception()
    if error is not None:
        raise type(error)(*error.args) from error


def erase(folder: Path, lock_wait_s: float = 10.0) -> None:
    """Removes the journal's files from a folder, if there are any.

    Args:
        folder: the journal's folder.
        lock_wait_s: as for ``Journal``.

    Raises:
        JournalError: the journal cannot be removed, or a process holds it.
    """
    if not folder.is_dir():
        return
    try:
        lock = locked(folder / "lock", lock_wait_s)
        try:
            for path in [*folder.glob("*.jsonl"), *folder.glob("*.new")]:
                path.unlink()
            sync_folder(folder)
        finally:
            os.close(lock)
    except OSError as error:
        raise JournalError(str(folder), error.strerror or str(error)) from error
