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

from memupdate.broker.futures import awaitable
from memupdate.broker.journal_file import (
    JournalError,
    Record,
    UncertainWriteError,
    encoded,
    encoded_line,
    good_lines,
    refusals,
    write_all,
)
from memupdate.broker.journal_generations import (
    check_is_bank,
    current_generation,
    next_path,
    own_files,
    publish,
    remove,
    sha256_of,
    unfinished,
    withdraw,
    write_generation,
)
from memupdate.broker.journal_header import Header, Replaced, header_of
from memupdate.broker.journal_lock import LOCK, is_lock, locked
from memupdate.errors import DataError, MemupdateError
from memupdate.files import make_folder, sync

__all__ = ["Journal", "JournalError", "Record", "UncertainWriteError", "check_written", "erase"]

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

    After a failed sync, nobody knows which of the file's bytes are on disk, and a later sync may succeed without
    writing them. The file is then given up: no write is acknowledged before all acknowledged records are in the next
    generation.

    Args:
        folder: the journal's folder; created if it is missing. Files of others in it are left alone.
        lock_wait_s: seconds to wait for another process to release the folder. A killed process takes a while to end.

    Raises:
        FieldError: the folder holds files, but no journal. It is not touched.
        DataError: it cannot be said which file is the journal. The folder is not touched.
        JournalError: the folder cannot be written, or another process holds it.
    """

    def __init__(self, folder: Path, lock_wait_s: float = 10.0) -> None:
        self.folder = folder
        self._collecting: _Batch | None = None
        self._collects = threading.Lock()
        self._writes = threading.Lock()  # held during every access to the file
        self._torn = False  # the file may be longer than the records that count
        self._unsynced = False  # a sync of the file failed
        self._withdrawn: Path | None = None  # a generation that must not be there at the next write
        self._closed = self._released = False
        with refusals(folder):
            make_folder(folder)
            check_is_bank(folder)
            self._lock = locked(folder, lock_wait_s)
            try:
                # Beside the generation in use: files of the journal that are not needed any more.
                self._path, self._superseded = current_generation(folder)
                self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            except BaseException:
                os.close(self._lock)
                raise
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

        At the end, files of the journal that are not needed any more are removed.

        Raises:
            DataError: a record is damaged. The message names the file and the line.
            JournalError: a torn record cannot be cut off, or what was read cannot be synced.
        """
        with refusals(self._path):
            yield from self._read()
            torn = self._path.stat().st_size - self._size
            if torn:
                logger.warning("%s: dropped %d bytes that a crash left unfinished at its end", self._path, torn)
                os.ftruncate(self._file, self._size)
            # The process before may have died before its sync. What was read will be answered, so it must be on disk.
            sync(self._path)
            sync(self.folder)
            self._superseded += unfinished(self.folder, self._path)
        self._remove_superseded()

    async def append(self, record: Record) -> None:
        """Appends a record and waits until it is on disk.

        Raises:
            UncertainWriteError: the record could not be written, and not be removed either.
            JournalError: the record could not be written. It will not be written later.
        """
        on_disk = self.append_soon(record)
        await asyncio.wait([awaitable(on_disk)])
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
            DataError: a record cannot be read again. The old file stays in use.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._compact, choose)

    async def close(self) -> None:
        """Waits until all appended records are written, and releases the folder."""
        with self._collects:
            self._closed = True
        await asyncio.to_thread(self.commit)
        await asyncio.to_thread(self._writer.shutdown)
        self.release()

    def release(self) -> None:
        """Releases the folder without writing anything. For a journal of which nothing was acknowledged yet."""
        if self._released:
            return
        self._closed = self._released = True
        try:
            os.close(self._file)
        finally:
            os.close(self._lock)

    def _read(self) -> Iterator[Record]:
        written = 0
        for end, number, body in good_lines(self._path):
            if number:
                yield json.loads(body)
            elif (header := header_of(self._path)) is not None:
                written = header.records
            self._next += 1
            self._size = end
        if self._next <= written:
            raise DataError(f"{self._path}:{self._next + 1}: expected {written} records, found the end or damage")

    def _write(self, bodies: Sequence[bytes]) -> None:
        self._ready()
        lines = [encoded_line(self._next + place, self._next, body) for place, body in enumerate(bodies)]
        self._torn = True
        try:
            write_all(self._file, b"".join(lines))
            self._sync()
        except OSError as error:
            refused = UncertainWriteError if self._may_come_back(len(lines[0])) else JournalError
            raise refused(str(self._path), error.strerror or str(error)) from error
        self._torn = False
        self._next += len(lines)
        self._size += sum(map(len, lines))

    def _may_come_back(self, first: int) -> bool:
        """Removes a batch that failed. Returns whether its first line, of this length, may still be in the file."""
        try:
            self._ready()
        except MemupdateError:
            logger.exception("%s ends in a record that failed; nothing is written before it is removed", self._path)
            try:
                return self._unsynced or os.fstat(self._file).st_size >= self._size + first
            except OSError:
                return True
        return False

    def _ready(self) -> None:
        """Makes the journal end at the last acknowledged record, in a file that can be trusted, before a write.

        Raises:
            JournalError: it cannot be done now. Nothing may be written.
            DataError: acknowledged records cannot be read again.
        """
        with refusals(self._path):
            if self._withdrawn is not None:
                withdraw(self._withdrawn)
                self._withdrawn = None
            if self._torn:
                os.ftruncate(self._file, self._size)
                if not self._unsynced:
                    self._sync()
                self._torn = False
        if self._unsynced:
            self._replace([True] * (self._next - 1))

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError:
            self._unsynced = True
            raise

    def _compact(self, choose: Callable[[Iterable[Record]], Sequence[bool]]) -> None:
        with self._writes, refusals(self._path):
            self._ready()
            self._replace(choose(json.loads(body) for body in self._bodies()))

    def _replace(self, stays: Sequence[bool]) -> None:
        """Goes on in a new generation with these records of the present one.

        The file stays open from its first byte on, so nothing can fail between its publishing and its use.
        """
        if not self._remove_superseded():
            raise JournalError(str(self._superseded[0]), "an older generation cannot be removed")
        old = self._path
        with refusals(self.folder):
            target = next_path(self.folder, int(old.stem))
            after = Replaced(int(old.stem), self._size, sha256_of(old, self._size))
            chosen = (body for body, stay in zip(self._bodies(), stays, strict=True) if stay)
            file, count, size = write_generation(target, Header(sum(stays), after), chosen)
            try:
                publish(target)
            except BaseException:
                self._withdrawn = target
                os.close(file)
                raise
        left, self._file = self._file, file
        self._path, self._next, self._size, self._unsynced = target, count, size, False
        self._superseded = [old]
        self._remove_superseded()
        self._leave(left)

    def _leave(self, file: int) -> None:
        try:
            os.close(file)
        except OSError:  # its records are on disk in the new generation
            logger.warning("%s: an older generation was not closed well", self.folder, exc_info=True)

    def _remove_superseded(self) -> bool:
        self._superseded = [path for path in self._superseded if not remove(path)]
        return not self._superseded

    def _bodies(self) -> Iterator[bytes]:
        """Yields the bodies of all records.

        Raises:
            DataError: they cannot be read again as they were written.
        """
        end = count = 0
        for end, number, body in good_lines(self._path):  # noqa: B007  the last line's end is the size
            if number:
                yield body
            count = number + 1
            if count == self._next:
                break
        if (count, end) != (self._next, self._size):
            raise DataError(f"{self._path}:{count + 1}: expected {self._next} acknowledged lines, found damage")


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
    """Removes the journal's files from a folder, if there are any, and nothing else.

    Args:
        folder: the journal's folder.
        lock_wait_s: as for ``Journal``.

    Raises:
        DataError: a file with a generation's name is damaged. Nothing is removed.
        JournalError: the journal cannot be removed, or a process holds it.
    """
    if not folder.is_dir():
        return
    with refusals(folder):
        if not own_files(folder) and not all(map(is_lock, folder.iterdir())):
            return
        lock = locked(folder, lock_wait_s)
        try:
            for path in own_files(folder):  # from old to new, so that a crash leaves the present banks or none
                path.unlink()
            if is_lock(folder / LOCK):
                (folder / LOCK).unlink()
            sync(folder)
        finally:
            os.close(lock)
