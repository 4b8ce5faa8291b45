"""The lease of a run's folder: one run at a time, and a dead one's is taken over."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from memupdate.errors import FieldError
from memupdate.platform import lease
from memupdate.platform.lease import LeaseHeldError

DEADLINE_S = 20
# Holds the lease, and has a driver that keeps the lock and does not die with it.
HOLDER = """
import subprocess, sys
from pathlib import Path
from memupdate.platform import lease
with lease.hold(Path(sys.argv[1])):
    driver = subprocess.Popen(["sleep", "600"], close_fds=False, stdout=subprocess.DEVNULL, start_new_session=True)
    print(driver.pid, flush=True)
    sys.stdin.read()
"""


def start(folder: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def record(folder: Path, **changes: object) -> None:
    """Writes the lease of a holder that is this process, but for some fields."""
    holder = {**vars(lease.Holder.me()), **changes}
    (folder / lease.HOLDER).write_text(json.dumps(holder))


def test_a_second_start_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    process, driver = start(tmp_path)
    try:
        with pytest.raises(LeaseHeldError, match=rf"held by process {process.pid} on .*last seen \d+ s ago"):
            lease.hold(tmp_path).__enter__()
        with pytest.raises(LeaseHeldError, match=rf"held by process {process.pid} on "):
            lease.refuse_held(tmp_path)
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)
        lease.refuse_held(tmp_path)  # the holder is dead: the next start takes over
        os.kill(driver, 9)


def test_a_free_folder_is_not_refused_and_not_touched(tmp_path: Path) -> None:
    lease.refuse_held(tmp_path / "new")
    lease.refuse_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_driver_of_a_killed_command_is_ended_before_the_next_start_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process, driver = start(tmp_path)
    process.kill()
    process.communicate(timeout=DEADLINE_S)
    assert psutil.pid_exists(driver)
    with caplog.at_level(logging.WARNING), lease.hold(tmp_path):
        assert not psutil.pid_exists(driver) or psutil.Process(driver).status() == psutil.STATUS_ZOMBIE
    assert f"process {process.pid} on" in caplog.text and "ended 1 processes" in caplog.text


def test_a_lease_is_given_back_and_a_process_of_the_run_has_it_already(tmp_path: Path) -> None:
    for _ in range(2):
        with lease.hold(tmp_path):
            token = os.environ[lease.TOKEN]
            with lease.hold(tmp_path):  # as the driver does, which inherits the token
                assert os.environ[lease.TOKEN] == token
            assert (tmp_path / lease.HOLDER).is_file()
        assert lease.TOKEN not in os.environ
        assert not (tmp_path / lease.HOLDER).exists()


def test_a_holder_on_another_machine_is_believed_until_its_heartbeat_is_old(tmp_path: Path) -> None:
    record(tmp_path, host="elsewhere", boot="another boot", pid=1)
    with pytest.raises(LeaseHeldError, match="process 1 on elsewhere"):
        lease.hold(tmp_path).__enter__()
    old = time.time() - lease.STALE_S - 5
    os.utime(tmp_path / lease.HOLDER, (old, old))
    with lease.hold(tmp_path):
        assert json.loads((tmp_path / lease.HOLDER).read_text())["pid"] == os.getpid()


def test_a_holder_in_another_container_is_alive_as_long_as_it_has_the_lock(tmp_path: Path) -> None:
    """Its pid says nothing here: the namespace is another one."""
    record(tmp_path, pid_namespace=1, pid=2**22 - 1, started=0.0)
    with (tmp_path / lease.LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LeaseHeldError, match="held by process"):
            lease.hold(tmp_path).__enter__()
    with lease.hold(tmp_path):
        pass


def test_a_process_with_a_dead_holders_pid_is_not_the_holder(tmp_path: Path) -> None:
    holder = lease.Holder.me()
    assert not holder.is_dead_here()
    assert lease.Holder(**{**vars(holder), "started": holder.started - 100}).is_dead_here()


def test_a_lease_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / lease.HOLDER).write_text("{")
    with pytest.raises(FieldError, match=r"lease\.json.*delete the file"):
        lease.hold(tmp_path).__enter__()


def test_the_heart_beats_and_ends_a_run_whose_folder_was_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.02)
    ended: list[int] = []
    monkeypatch.setattr(lease.os, "_exit", ended.append)

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with lease.hold(tmp_path):
        os.utime(tmp_path / lease.HOLDER, (1.0, 1.0))
        wait_for(lambda: (tmp_path / lease.HOLDER).stat().st_mtime > 1)
        assert ended == []
        record(tmp_path)  # another token
        wait_for(lambda: bool(ended))
    assert ended[0] == 1
