"""A disk that is really full, and one that is really read-only. Mounting needs root, so elsewhere they are skipped."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from in_process_broker import write_conversation

from memupdate.broker import JournalError, MemoryBroker
from memupdate.memory import Operation

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a file system in memory with these options."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mounting(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a file system")
        return disk

    yield mounting
    while subprocess.run(["umount", str(disk)], capture_output=True, check=False).returncode == 0:
        pass


def test_a_full_disk_refuses_one_operation_and_takes_the_next_when_there_is_room(mount: Mount, tmp_path: Path) -> None:
    disk = mount("size=64k")
    write_conversation(tmp_path, "conv-a", ["Ana sings"])

    async def scenario() -> None:
        broker = MemoryBroker(str(tmp_path), journal_dir=str(disk / "journal"))
        await broker.open("t1", "conv-a")
        acknowledged = 0
        with pytest.raises(JournalError, match="No space left on device; the bank stays as it was"):
            for number in range(1000):
                await broker.run("t1", [Operation("create", {"content": f"{number} " + "long " * 300})])
                acknowledged = number + 1
        state = await broker.final_state("t1")
        assert len(state["journal"]) == acknowledged > 10  # type: ignore[arg-type]
        await broker.close("t1")  # there is room for a few bytes
        subprocess.run(["mount", "-o", "remount,size=256k", str(disk)], check=True)
        await broker.open("t2", "conv-a")
        await broker.run("t2", [Operation("create", {"content": "long " * 300})])
        kept = await broker.final_state("t2")
        await broker.stop()
        again = MemoryBroker(str(tmp_path), journal_dir=str(disk / "journal"))
        assert await again.namespaces() == ["t2"]
        assert await again.final_state("t2") == kept
        await again.stop()

    asyncio.run(scenario())


def test_a_read_only_directory_is_said_at_the_start(mount: Mount) -> None:
    disk = mount("ro,size=64k")
    with pytest.raises(JournalError, match=r"disk/journal: Read-only file system; .* allowed: a directory"):
        MemoryBroker(None, journal_dir=str(disk / "journal"))
