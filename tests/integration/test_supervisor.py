"""The supervisor of a stage ends every process of the stage, whatever happens to the processes above it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from memupdate.errors import STOPPED, FieldError, RunStoppedError
from memupdate.platform.stages import StageError, run_stage
from memupdate.platform.stopping import (
    END_AT,
    SAME_REQUEST_S,
    STOP_FILE,
    StopRequests,
    StopSignals,
    signals,
    stop_signals,
)

DEADLINE_S = 20
# A stage: a child in a session of its own whose parent is gone, as Ray's daemons are. Both write their pids.
STAGE = """
import os, pathlib, signal, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
middle = '''
import subprocess
print(subprocess.Popen(["sleep", "600"], stdout=-3, stderr=-3, start_new_session=True).pid)
'''
orphan = subprocess.run([sys.executable, "-c", middle], capture_output=True, text=True, check=True).stdout.strip()
(folder / "pids.new").write_text(f"{os.getpid()} {orphan}")
(folder / "pids.new").rename(folder / "pids")
while not (folder / "stop-requested").exists():
    time.sleep(0.02)
    if (folder / "finish").exists():
        sys.exit(0)
if (folder / "deaf").exists():
    time.sleep(600)
(folder / "stopped").write_text("stopped after step 3 (asked to stop)")
"""
# A command as `memupdate run` is one: it handles signals, and runs a stage.
COMMAND = """
import sys
from pathlib import Path
from memupdate.errors import RunStoppedError
from memupdate.platform.stages import run_stage
from memupdate.platform.stopping import stop_signals
folder = Path(sys.argv[1])
try:
    with stop_signals():
        run_stage([sys.executable, folder / "stage.py", folder], folder / "log", {}, None, folder / "stop-requested")
except RunStoppedError as error:
    print(error)
    sys.exit(75)
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    (tmp_path / "stage.py").write_text(STAGE)
    return tmp_path


@pytest.fixture
def command(stage: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(stage)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: (stage / "pids").exists())
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


def pids(stage: Path) -> list[int]:
    return [int(pid) for pid in (stage / "pids").read_text().split()]


def family(process: subprocess.Popen[str], stage: Path) -> list[int]:
    """The pids below a command, and those that the stage wrote."""
    below = [one.pid for one in psutil.Process(process.pid).children(recursive=True)]
    assert set(pids(stage)) <= set(below)  # the supervisor has adopted the orphan
    return below


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_whole_group_asks_the_stage_once_and_leaves_no_process(
    stage: Path, command: subprocess.Popen[str], number: int
) -> None:
    below = family(command, stage)
    os.killpg(command.pid, number)
    assert command.wait(timeout=DEADLINE_S) == STOPPED
    assert command.stdout is not None and "stopped after step 3" in command.stdout.read()
    assert not any(map(alive, below))


def test_a_second_signal_ends_a_stage_that_does_not_stop(stage: Path, command: subprocess.Popen[str]) -> None:
    (stage / "deaf").touch()
    below = family(command, stage)
    command.send_signal(signal.SIGTERM)
    wait_for((stage / STOP_FILE).exists)
    assert command.poll() is None
    time.sleep(SAME_REQUEST_S + 0.1)  # a signal that comes sooner belongs to the same request
    command.send_signal(signal.SIGTERM)
    assert command.wait(timeout=DEADLINE_S) == STOPPED
    assert not any(map(alive, below))


@pytest.mark.parametrize("victim", ["command", "supervisor", "both"])
def test_no_process_outlives_a_killed_command_or_supervisor(
    stage: Path, command: subprocess.Popen[str], victim: str
) -> None:
    below = family(command, stage)
    supervisor = psutil.Process(command.pid).children()[0]
    stage_pid = pids(stage)[0]
    if victim != "command":
        supervisor.kill()
        wait_for(lambda: not alive(stage_pid))  # by the kernel: the driver's own children follow it, as Ray's do
    if victim != "supervisor":
        command.kill()
    command.wait(timeout=DEADLINE_S)
    if victim == "command":
        wait_for(lambda: not any(map(alive, below)))
    for pid in filter(alive, below):
        os.kill(pid, signal.SIGKILL)  # the orphan of a test that killed the supervisor


def test_what_a_stage_leaves_is_ended_when_the_stage_ends(stage: Path) -> None:
    (stage / "finish").touch()
    run_stage([sys.executable, str(stage / "stage.py"), str(stage)], stage / "log", {})
    assert not any(map(alive, pids(stage)))


def test_a_failed_stage_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"(?s)exit code 3.*the reason"):
        run_stage([sys.executable, "-c", "import sys; print('the reason'); sys.exit(3)"], tmp_path / "log", {})


def test_a_killed_stage_names_the_signal(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="killed by SIGKILL"):
        run_stage([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], tmp_path / "log", {})


def test_a_stage_without_checkpoints_is_ended_by_the_first_signal(tmp_path: Path) -> None:
    began = time.monotonic()

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    with pytest.raises(RunStoppedError, match="the same command"), stop_signals():
        run_stage(["sleep", "600"], tmp_path / "log", {}, interrupt)
    assert time.monotonic() - began < DEADLINE_S


def test_a_signal_between_stages_stops_the_job() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunStoppedError, match="SIGTERM"), stop_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_signals_that_come_together_are_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    counted = StopSignals()
    with counted.deferred():
        for at in (100.0, 100.2, 101.0):
            now[0] = at
            counted.receive(signal.SIGTERM, None)
    assert counted.count == 2


def test_the_limit_of_time_is_positive_and_ends_the_job() -> None:
    for hours in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(FieldError, match="max-hours"), stop_signals(hours):
            pass
    with pytest.raises(RunStoppedError, match="SIGALRM"), stop_signals(0.05 / 3600):
        assert END_AT in os.environ
        wait_for(lambda: signals.count == 2)
    assert END_AT not in os.environ
    assert signals.count == 0  # a stage that starts later in this process has not been asked to stop


def test_a_trainer_stops_when_two_more_steps_would_exceed_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(END_AT, "1000")
    clock = [800.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    requests = StopRequests(tmp_path)
    for at in (800.0, 850.0):
        clock[0] = at
        requests.step_begins()
        assert requests.reason() is None  # 150 s are left, two steps take 100 s
    clock[0] = 890.0
    assert "--max-hours" in str(requests.reason())
