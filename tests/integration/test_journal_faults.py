"""A fault at every system call of opening, appending, compacting and closing (row U24).

Whatever fails, and whenever the process dies: what was acknowledged is there at the next start, in order, and what was
refused is not.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from journal_faults import FAULTS, Disk

from memupdate.broker.journal import Journal, JournalError, UncertainWriteError, check_written


class Story:
    """What a journal was told, and what it answered. Record ``n`` may go in a compaction if ``n`` is odd."""

    def __init__(self) -> None:
        self.told = itertools.count()
        self.acknowledged: list[int] = []
        self.under_way: list[int] = []
        self.uncertain: list[int] = []
        self.may_be_gone: set[int] = set()  # a compaction that was begun does not want them
        self.must_be_gone: set[int] = set()  # a compaction that succeeded did not

    def check(self, found: list[int]) -> None:
        """Checks what the next start finds, if it is now."""
        assert found == sorted(set(found)), found
        missing = set(self.acknowledged) - self.may_be_gone - set(found)
        assert not missing, f"lost: {missing}"
        made_up = set(found) - set(self.acknowledged) - set(self.under_way) - set(self.uncertain)
        assert not made_up, f"refused, and yet there: {made_up}"
        assert not self.must_be_gone & set(found)

    def append(self, journal: Journal, count: int) -> None:
        """One batch. It is acknowledged or refused as a whole."""
        self.under_way = [next(self.told) for _ in range(count)]
        batches = [journal.collect({"run": n, "text": "ünï" * n})[0] for n in self.under_way]
        journal.commit()
        try:
            for batch in batches:
                check_written(batch)
        except UncertainWriteError:
            self.uncertain += self.under_way
        except JournalError:
            pass
        else:
            self.acknowledged += self.under_way
        self.under_way = []

    def compact(self, journal: Journal, runner: asyncio.Runner) -> None:
        odd = {n for n in self.acknowledged if n % 2}
        self.may_be_gone |= odd

        def even(records: Iterable[Any]) -> list[bool]:
            return [record["run"] % 2 == 0 for record in records]

        try:
            runner.run(journal.compact(even))
        except JournalError:
            return
        self.must_be_gone |= odd

    def tell(
        self, folder: Path, runner: asyncio.Runner, answered: Callable[[], None], repair: Callable[[], None]
    ) -> None:
        """Opens a journal and uses it twice. ``answered`` is called after each answer."""
        for _ in range(2):
            journal = opened(folder)
            if journal is None:
                repair()
                journal = opened(folder)
                assert journal is not None, "a journal does not open although the disk is well again"
            for step in (1, 2, 0, 1, 0, 2):
                self.append(journal, step) if step else self.compact(journal, runner)
                answered()
            try:
                runner.run(journal.close())
            except OSError:
                assert journal._released
            answered()


def opened(folder: Path) -> Journal | None:
    """A journal; None if it was refused, of which nothing is left then."""
    try:
        journal = Journal(folder, lock_wait_s=0)
    except JournalError:
        return None
    try:
        list(journal.recover())
    except JournalError:
        try:
            journal.release()
        except OSError:
            assert journal._released
        return None
    return journal


def read(folder: Path, twin: Path) -> list[int]:
    """What the next process finds if this one dies now."""
    shutil.copytree(folder, twin)
    journal = Journal(twin, lock_wait_s=0)
    found = [record["run"] for record in journal.recover()]
    journal.release()
    assert len(list(twin.glob("*.jsonl"))) == 1
    assert not list(twin.glob("*.new"))
    shutil.rmtree(twin)
    return found


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        runner.get_loop()
        yield runner


def calls_of(folder: Path, runner: asyncio.Runner) -> list[str]:
    with Disk() as disk:
        Story().tell(folder, runner, lambda: None, disk.repair)
    return disk.calls


def test_u24_a_process_that_dies_before_in_or_after_any_system_call_loses_nothing_and_makes_nothing_up(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    story, journal = Story(), tmp_path / "journal"
    deaths: list[tuple[Path, Story]] = []

    def moment() -> None:
        if journal.is_dir():
            shutil.copytree(journal, tmp_path / f"death-{len(deaths)}")
            deaths.append((tmp_path / f"death-{len(deaths)}", copy.deepcopy(story)))

    with Disk(moment=moment) as disk:
        story.tell(journal, runner, lambda: None, disk.repair)
    assert {"open", "write", "fsync", "fdatasync", "rename", "unlink", "close", "flock", "mkdir"} <= set(disk.calls)
    assert story.acknowledged == list(range(12))
    assert len(deaths) > 2 * 50
    with Disk():
        for number, (dead, then) in enumerate(deaths):
            then.check(read(dead, tmp_path / f"next-{number}"))
        story.check(read(journal, tmp_path / "last"))


class Walk:
    """One story with one fault. What the next process would find is checked after the first answer since the fault."""

    def __init__(self, folder: Path, at: int, fault: str, lasting: bool) -> None:
        self.folder = folder
        self.story = Story()
        self.disk = Disk(at, fault, lasting=lasting)
        self._looked = False

    def run(self, runner: asyncio.Runner) -> None:
        with self.disk:
            self.story.tell(self.folder, runner, self._answered, self.disk.repair)
            self._look()

    def _answered(self) -> None:
        if self.disk.struck and not self._looked:
            self._looked = True
            self._look()

    def _look(self) -> None:
        with self.disk.aside():
            self.story.check(read(self.folder, self.folder.with_suffix(".copy")))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("lasting", [False, True])
def test_u24_a_fault_at_any_system_call_loses_nothing_and_makes_nothing_up(
    tmp_path: Path, runner: asyncio.Runner, fault: str, lasting: bool
) -> None:
    calls = calls_of(tmp_path / "well", runner)
    places = [at for at, name in enumerate(calls) if name == "write" or not fault.startswith("half")]
    for at in places:
        before = descriptors()
        walk = Walk(tmp_path / f"journal-{at}", at, fault, lasting)
        walk.run(runner)
        where = f"call {at}, {calls[at]}, of {calls}"
        assert walk.disk.struck, where
        assert descriptors() == before, where
        if not lasting:
            assert not walk.story.uncertain, where
            assert len(walk.story.acknowledged) >= 12 - 2, where
